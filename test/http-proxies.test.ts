import { deepStrictEqual, doesNotMatch, equal, match, rejects, throws } from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Server, Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readText } from '../src/backends/body.ts'
import { selectProxy, showProxy } from '../src/backends/proxies.ts'
import { createConnector } from '../src/backends/tunnel.ts'
import { withDeadline } from './helpers/deadline.ts'
import { KEY, makeCall, never, startBackend } from './helpers/http-backend.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const TLS = new URL('./fixtures/tls/', import.meta.url)
const certificate = { key: readFileSync(new URL('key.pem', TLS)), cert: readFileSync(new URL('cert.pem', TLS)) }

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

interface TestProxy { port: number; seen: { line: string; authorization: string | undefined }[] }

/** A forward proxy that resolves every name to 127.0.0.1, so that no test leaves this machine. */
async function startProxy(t: TestContext, options: { tls?: boolean; refuse?: string } = {}): Promise<TestProxy> {
  const seen: TestProxy['seen'] = []
  const server = options.tls === true ? createSecureServer(certificate) : createServer()
  server.on('request', (message, response) => {
    const { url = '', headers } = message
    seen.push({ line: `${message.method} ${url}`, authorization: headers['proxy-authorization'] })
    const target = new URL(url)
    const onward = request({ port: target.port, path: target.pathname, method: message.method, headers: { host: headers.host } }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    message.pipe(onward)
  })
  server.on('connect', (message, socket, head) => {
    seen.push({ line: `CONNECT ${message.url}`, authorization: message.headers['proxy-authorization'] })
    socket.on('error', () => {})
    if (options.refuse !== undefined) return socket.end(options.refuse)
    const onward = connect(Number(message.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\nx-proxy: yes\r\n\r\n')
      onward.write(head)
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('close', () => onward.destroy())
  })
  return { port: await listen(t, server), seen }
}

async function startSecureUpstream(t: TestContext): Promise<number> {
  const server = createSecureServer(certificate, (message, response) => {
    response.end(`${message.headers.host} ${message.headers.authorization} ${message.headers['proxy-authorization']}`)
  })
  return listen(t, server)
}

/** Sends from a process that trusts the test authority, and these proxy variables only. */
async function sendFromChild(baseUrl: string, environment: Record<string, string>, count = 1, timeout = 5_000): Promise<Record<string, unknown>> {
  const script = fileURLToPath(new URL('./helpers/send-once.ts', import.meta.url))
  const { PATH = '', SystemRoot = '' } = process.env
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath, ['--import', 'tsx', script, baseUrl, String(count), String(timeout)],
    { env: { PATH, SystemRoot, ...environment }, cwd: fileURLToPath(new URL('..', import.meta.url)), timeout: 20_000 },
  )
  equal(stderr, '')
  return JSON.parse(stdout) as Record<string, unknown>
}

const CA = { NODE_EXTRA_CA_CERTS: fileURLToPath(new URL('ca.pem', TLS)) }

test('X11: a certificate of a private authority is accepted with NODE_EXTRA_CA_CERTS', async (t) => {
  const port = await startSecureUpstream(t)
  deepStrictEqual(await sendFromChild(`https://localhost:${port}/v1`, CA), { texts: [`localhost:${port} Bearer sk-test undefined`] })
})

test('X11: without it the error names NODE_EXTRA_CA_CERTS', async (t) => {
  const port = await startSecureUpstream(t)
  await rejects(startBackend(t, `https://localhost:${port}`).send(makeCall(), KEY, never()), {
    code: 'upstream_unreachable', message: /NODE_EXTRA_CA_CERTS/,
  })
})

test('X11: a server that refuses our TLS is not one that speaks none', async (t) => {
  const port = await listen(t, createSecureServer({ ...certificate, ALPNProtocols: ['h2'] }))
  await rejects(startBackend(t, `https://127.0.0.1:${port}`).send(makeCall(), KEY, never()), { message: /refuses this TLS: .* \(ERR_SSL_\w+\)/ })
})

for (const scheme of ['http', 'https']) {
  test(`http backend: an ${scheme} connection is probed while a model thinks, and sends without delay`, async (t) => {
    // Its own sockets must not count.
    const server = scheme === 'http' ? createServer({ noDelay: false }) : createSecureServer({ ...certificate, noDelay: false })
    const port = await listen(t, server)
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const handles = Object.getPrototypeOf((socket as unknown as { _handle: object })._handle) as Record<'setKeepAlive' | 'setNoDelay', (...given: unknown[]) => void>
    socket.destroy()
    const [probes, delays] = [t.mock.method(handles, 'setKeepAlive'), t.mock.method(handles, 'setNoDelay')]
    const trust = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    t.after(() => trust === undefined ? delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'] : process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = trust)
    const connector = createConnector(new URL(`${scheme}://127.0.0.1:${port}`), undefined, 5_000, 'up')
    t.after(() => connector.close())
    await connector.connect()
    deepStrictEqual(probes.mock.calls.map((call) => call.arguments.slice(0, 2)), [[true, 30]]) // Node 24 gives more
    equal(delays.mock.calls.some((call) => call.arguments[0] === true), true)
  })
}

test('http backend: a long answer over TLS keeps its bytes through many reads', async (t) => {
  const text = Array.from({ length: 40_000 }, (_, index) => index.toString(36)).join(' ')
  const server = createSecureServer(certificate, (_, response) => {
    for (let at = 0; at < text.length; at += 997) response.write(text.slice(at, at + 997))
    response.end()
  })
  deepStrictEqual(await sendFromChild(`https://localhost:${await listen(t, server)}`, CA, 2), { texts: [text, text] })
})

test('X6: an https upstream is reached by CONNECT; the proxy\'s password goes to the proxy only', async (t) => {
  const port = await startSecureUpstream(t)
  const proxy = await startProxy(t)
  const result = await sendFromChild(`https://upstream.test:${port}`, { ...CA, HTTPS_PROXY: `http://user:p%40ss@127.0.0.1:${proxy.port}` }, 2)
  const text = `upstream.test:${port} Bearer sk-test undefined`
  deepStrictEqual(result, { texts: [text, text] })
  // One CONNECT for two requests: tunnelled sockets are kept alive too.
  deepStrictEqual(proxy.seen, [{ line: `CONNECT upstream.test:${port}`, authorization: `Basic ${btoa('user:p@ss')}` }])
})

test('X6: a proxy may itself be reached by TLS', async (t) => {
  const port = await startSecureUpstream(t)
  const proxy = await startProxy(t, { tls: true })
  const result = await sendFromChild(`https://upstream.test:${port}`, { ...CA, https_proxy: `https://localhost:${proxy.port}` })
  deepStrictEqual(result, { texts: [`upstream.test:${port} Bearer sk-test undefined`] })
  equal(proxy.seen.length, 1)
})

test('X6: an http upstream is asked for by its whole URL, over kept-alive connections', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, { fine: true }))
  const proxy = await startProxy(t)
  const backend = startBackend(t, `http://upstream.test:${upstream.port}/v1`, { environment: { http_proxy: `u:p@127.0.0.1:${proxy.port}` } })
  equal(await readText(await backend.send(makeCall(), KEY, never())), '{"fine":true}')
  equal(upstream.received[0]?.headers.host, `upstream.test:${upstream.port}`)
  deepStrictEqual(proxy.seen, [{
    line: `POST http://upstream.test:${upstream.port}/v1/chat/completions`, authorization: `Basic ${btoa('u:p')}`,
  }])
})

for (const [title, refuse, words] of [
  ['asks for a password', 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', /asks for a user name and a password/],
  ['refuses', 'HTTP/1.1 403 Forbidden\r\n\r\n', /refused CONNECT upstream\.test:443 \(403\)/],
  ['hangs up', '', /hung up on CONNECT upstream\.test:443/],
  ['speaks another protocol', 'x'.repeat(20_000), /does not speak HTTP/],
] as const) {
  test(`X6: a proxy that ${title} is named without its password`, async (t) => {
    const proxy = await startProxy(t, { refuse })
    const backend = startBackend(t, 'https://upstream.test', { environment: { ALL_PROXY: `http://user:hunter2@127.0.0.1:${proxy.port}` } })
    await withDeadline(rejects(backend.send(makeCall(), KEY, never()), (error: Error & { code: string }) => {
      equal(error.code, 'upstream_unreachable')
      match(error.message, words)
      match(error.message, /http:\/\/\*\*\*@127\.0\.0\.1/)
      doesNotMatch(`${error.message} ${error.stack} ${String(error.cause)}`, /hunter2/)
      return true
    }), 5_000, 'refusal')
  })
}

test('X6: a proxy that is not there is not taken for the upstream', async (t) => {
  const server = createServer()
  const port = await listen(t, server)
  server.close()
  await once(server, 'close')
  const backend = startBackend(t, 'https://upstream.test', { environment: { HTTPS_PROXY: `http://127.0.0.1:${port}` } })
  await rejects(backend.send(makeCall(), KEY, never()), { message: /the proxy http:\/\/127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)/ })
})

test('X6: a proxy that resets is not taken for the upstream', async (t) => {
  const server = createServer()
  server.on('connect', (_request, socket) => (socket as Socket).resetAndDestroy())
  const backend = startBackend(t, 'https://upstream.test', { environment: { HTTPS_PROXY: `http://127.0.0.1:${await listen(t, server)}` } })
  await rejects(backend.send(makeCall(), KEY, never()), { message: /the proxy http:\/\/127\.0\.0\.1:\d+ cannot be reached \(ECONNRESET\)/ })
})

test('X6: a proxy may say yes in pieces', async (t) => {
  const upstream = createSecureServer(certificate, (_, response) => response.end('{}'))
  const port = await listen(t, upstream)
  const proxy = createServer()
  proxy.on('connect', async (_request, socket: Socket) => {
    for (const piece of ['HTTP/1.1 2', '00 Fine\r', '\nx: y\r\n\r', '\n']) {
      socket.write(piece)
      await setImmediate()
    }
    const onward = connect(port, '127.0.0.1')
    onward.pipe(socket).pipe(onward)
  })
  const backend = startBackend(t, 'https://upstream.test', { environment: { HTTPS_PROXY: `http://127.0.0.1:${await listen(t, proxy)}` } })
  await rejects(backend.send(makeCall(), KEY, never()), { message: /signed by an authority that Node does not know/ }) // it was reached
})

test('X6: a proxy that accepts and says nothing is a connect timeout', async (t) => {
  const server = createServer()
  server.on('connect', () => {})
  const port = await listen(t, server)
  t.after(() => server.closeAllConnections())
  const backend = startBackend(t, 'https://upstream.test', {
    environment: { HTTPS_PROXY: `http://127.0.0.1:${port}` }, timeouts: { connect: 100, firstByte: 30_000, silence: 30_000 },
  })
  await withDeadline(rejects(backend.send(makeCall(), KEY, never()), {
    code: 'upstream_timeout', message: /through http:\/\/127.*backends\.up\.timeouts\.connect/,
  }), 5_000, 'timeout')
})

const PROXY = 'http://proxy.test:3128'

for (const [title, target, environment, expected] of [
  ['HTTPS_PROXY is for https', 'https://a.test', { HTTPS_PROXY: PROXY }, true],
  ['HTTPS_PROXY is not for http', 'http://a.test', { HTTPS_PROXY: PROXY }, false],
  ['ALL_PROXY is for both', 'http://a.test', { ALL_PROXY: PROXY }, true],
  ['lower case works', 'https://a.test', { https_proxy: PROXY }, true],
  ['an empty value is unset', 'https://a.test', { https_proxy: '', HTTPS_PROXY: ' ' }, false],
  ['an empty lower case value leaves the upper case one', 'https://a.test', { https_proxy: '', HTTPS_PROXY: PROXY }, true],
  ['localhost is direct', 'https://localhost:1', { HTTPS_PROXY: PROXY }, false],
  ['a subdomain of localhost is direct', 'https://x.localhost', { HTTPS_PROXY: PROXY }, false],
  ['127.x is direct', 'http://127.1.2.3', { HTTP_PROXY: PROXY }, false],
  ['::1 is direct', 'http://[::1]:80', { HTTP_PROXY: PROXY }, false],
  ['127.evil.test is not loopback', 'http://127.evil.test', { HTTP_PROXY: PROXY }, true],
  ['NO_PROXY *', 'https://a.test', { HTTPS_PROXY: PROXY, NO_PROXY: '*' }, false],
  ['NO_PROXY host', 'https://a.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'b.test, A.test' }, false],
  ['NO_PROXY host covers subdomains', 'https://x.a.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test' }, false],
  ['NO_PROXY host does not cover longer names', 'https://xa.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test' }, true],
  ['NO_PROXY .suffix', 'https://x.a.test', { HTTPS_PROXY: PROXY, no_proxy: '.a.test' }, false],
  ['NO_PROXY *.suffix', 'https://x.a.test', { HTTPS_PROXY: PROXY, no_proxy: '*.a.test' }, false],
  ['NO_PROXY host:port', 'https://a.test:8443', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test:8443' }, false],
  ['NO_PROXY host:port of another port', 'https://a.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test:8443' }, true],
  ['NO_PROXY default port', 'https://a.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test:443' }, false],
  ['NO_PROXY IPv6 in another spelling', 'https://[2001:db8::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '2001:DB8:0:0::1' }, false],
  ['NO_PROXY of another IPv6', 'https://[2001:db8::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '2001:db8::2' }, true],
  ['NO_PROXY with the root\'s dot', 'https://x.a.test', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.test.' }, false],
  ['NO_PROXY CIDR', 'https://10.1.2.3', { HTTPS_PROXY: PROXY, NO_PROXY: '10.0.0.0/8' }, false],
  ['NO_PROXY CIDR of another network', 'https://11.1.2.3', { HTTPS_PROXY: PROXY, NO_PROXY: '10.0.0.0/8' }, true],
  ['NO_PROXY broken CIDR', 'https://10.1.2.3', { HTTPS_PROXY: PROXY, NO_PROXY: '10.0.0.0/99,x/8,/' }, true],
  ['NO_PROXY CIDR of no length', 'https://10.1.2.3', { HTTPS_PROXY: PROXY, NO_PROXY: '11.0.0.0/,10.0.0.0/-1,10.0.0.0/1.5' }, true],
  ['NO_PROXY IPv6', 'https://[fd00::1]', { HTTPS_PROXY: PROXY, NO_PROXY: 'fd00::1' }, false],
  ['NO_PROXY IPv6 CIDR', 'https://[fd00::1]', { HTTPS_PROXY: PROXY, NO_PROXY: 'fd00::/8' }, false],
  ['NO_PROXY IPv6 CIDR in brackets', 'https://[fd00::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '[fd00::]/8' }, false],
  ['NO_PROXY IPv6 CIDR in brackets of another network', 'https://[fe80::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '[fd00::]/8' }, true],
  ['NO_PROXY IPv6 in brackets and another spelling', 'https://[2001:db8::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '[2001:DB8:0:0::1]' }, false],
  ['NO_PROXY IPv6 and port in another spelling', 'https://[2001:db8::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '[2001:DB8:0:0::1]:443' }, false],
  ['NO_PROXY IPv6 and another port', 'https://[2001:db8::1]', { HTTPS_PROXY: PROXY, NO_PROXY: '[2001:db8::1]:8443' }, true],
  ['NO_PROXY IPv6 CIDR does not hold an IPv4', 'https://10.1.2.3', { HTTPS_PROXY: PROXY, NO_PROXY: '[::]/0' }, true],
  ['NO_PROXY of nothing', 'https://a.test', { HTTPS_PROXY: PROXY, NO_PROXY: ' ,, .' }, true],
] as const) {
  test(`X6: ${title}`, () => {
    equal(selectProxy(new URL(target), environment)?.host, expected ? 'proxy.test:3128' : undefined)
  })
}

test('X6: a proxy variable that is not an http URL is refused without showing it', () => {
  for (const value of ['socks5://user:hunter2@h:1', 'http://user:hunter2@:x']) {
    throws(() => selectProxy(new URL('https://a.test'), { HTTPS_PROXY: value }), (error: Error) => {
      doesNotMatch(error.message, /hunter2/)
      return /HTTPS_PROXY/.test(error.message)
    })
  }
})

test('Z6: a proxy is shown without user name and password', () => {
  equal(showProxy(new URL('http://user:hunter2@h.test:3128')), 'http://***@h.test:3128')
  equal(showProxy(new URL('http://h.test:3128')), 'http://h.test:3128')
})
