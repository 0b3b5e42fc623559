import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { WHOLES } from '../helpers/answers.ts'
import { startBrowser } from '../helpers/browser.ts'
import type { Page } from '../helpers/browser.ts'
import { backendsAt, startProxy } from '../helpers/proxy.ts'
import { sendJson, startUpstream } from '../helpers/upstream.ts'
import type { TestUpstream } from '../helpers/upstream.ts'

/** What only dario's answers hold. */
const MARK = 'model-that-only-dario-knows'

interface Scene { page: Page; port: number; hostile: number; upstream: TestUpstream; lines: string[]; base: string }

async function setScene(context: TestContext, allowedOrigins: (port: number) => string[] = () => []): Promise<Scene> {
  const hostile = createServer((_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><body>hostile'))
  hostile.listen(0, '127.0.0.1')
  await once(hostile, 'listening')
  context.after(() => { hostile.closeAllConnections(); hostile.close() })
  const { port: hostilePort } = hostile.address() as AddressInfo
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 200, WHOLES.anthropic))
  const lines: string[] = []
  const backends = backendsAt(upstream.url)
  const { url } = await startProxy(context, {
    backends: { ...backends, anthropic: { ...backends['anthropic'], type: 'anthropic', models: [{ id: MARK }] } },
    allowedOrigins: allowedOrigins(hostilePort), log: (line) => lines.push(line),
  })
  const page = await startBrowser(context, ['evil.test', 'rebind.test'])
  return { page, port: Number(new URL(url).port), hostile: hostilePort, upstream, lines, base: url }
}

const ATTACK = readFileSync(new URL('attack.js', import.meta.url), 'utf8')
const run = async (page: Page, target: string): Promise<string[]> => await page.run(`(${ATTACK})(${JSON.stringify(target)})`) as string[]

for (const [title, from] of [['another site', 'evil.test'], ['another port of this machine', 'localhost'], ['another loopback name', '127.0.0.1']] as const) {
  test(`Z2: a page of ${title} spends nothing and reads nothing, in any way that a browser has`, async (context) => {
    const { page, port, hostile, upstream, lines } = await setScene(context)
    await page.open(`http://${from}:${hostile}/`)
    strictEqual(await page.run('document.body.innerText'), 'hostile')
    for (const name of ['localhost', '127.0.0.1', '[::1]']) {
      const read = await run(page, `http://${name}:${port}`)
      // A "no-cors" answer is opaque: status 0 and no text.
      deepStrictEqual(read.filter((found) => !/^(?:fetch|get) no-cors \S+: 0 $|^xhr \S+: 0 $/.test(found)), [], name)
    }
    deepStrictEqual(upstream.received.map(({ url }) => url), [])
    ok(lines.filter((line) => /Web pages may not|web page of another site/.test(line)).length > 100, 'the attempts did arrive')
  })
}

test('Z1: a page whose name was rebound to this machine spends nothing and reads nothing', async (context) => {
  const { page, port, upstream, lines } = await setScene(context)
  // The page is on dario's own origin as the browser sees it: only the Host tells.
  await page.open(`http://rebind.test:${port}/health`)
  match(String(await page.run('location.href')), /^http:\/\/rebind\.test/)
  const read = await run(page, `http://rebind.test:${port}`)
  ok(read.length > 20, 'the page reads answers of its own origin')
  deepStrictEqual(read.filter((found) => found.includes(MARK) || found.includes('"status":"ok"') || !/ (?:403|400|0) |does not answer to the Host/.test(found)), [])
  deepStrictEqual(upstream.received, [])
  ok(lines.filter((line) => line.includes('does not answer to the Host')).length > 100)
})

test('guard: a page whose origin is configured may ask and read, and a person may open dario in a browser', async (context) => {
  const { page, port, hostile, upstream } = await setScene(context, (port) => [`http://evil.test:${port}`])
  await page.open(`http://evil.test:${hostile}/`)
  const read = await page.run(`fetch('http://localhost:${port}/v1/messages', { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': 'x' }, body: '{"model":"anthropic:m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}' }).then((response) => response.text())`)
  match(String(read), /Hello world/)
  strictEqual(upstream.received.length, 1)
  await page.open(`http://localhost:${port}/v1/models`)
  match(String(await page.run('document.body.innerText')), new RegExp(MARK))
})
