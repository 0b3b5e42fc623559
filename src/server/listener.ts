/**
 * The node:http server: where it binds, its limits, and how it stops. https://nodejs.org/api/http.html#class-httpserver
 * @module
 */
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createNetServer } from 'node:net'
import type { AddressInfo, Server as NetServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { DarioError } from '../errors.ts'
import { createInFlight } from '../hub/in-flight.ts'
import { parseObject } from '../hub/json.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { toPrintable } from './guard.ts'

export interface ListenerOptions {
  handler: (request: IncomingMessage, response: ServerResponse) => void
  exchange: Pick<Exchange, 'endAll'>
  /** undefined: both loopback addresses. */
  host: string | undefined
  /** 0: any free one. */
  port: number
  /** Only this machine can reach `host`, or whoever comes needs an access key. */
  isGuarded: boolean
  /** Milliseconds for a request's headers to come in whole; default 30,000. */
  headersTimeout?: number | undefined
}

export interface Listener {
  /** Serves connections given to it even when it does not listen. */
  readonly server: Server
  /** @throws DarioError `config_invalid` for an open address without a key, `conflict` for a port in use. */
  listen(): Promise<{ url: string; port: number }>
  /** Stops accepting, gives running answers `graceMs` (default 10,000), ends them in-protocol, cuts the rest. */
  close(graceMs?: number): Promise<void>
}

/** Longer than common clients keep a connection, so that it is the client who closes: no reset in between. */
const KEEP_ALIVE_MS = 75_000
const NOT_HTTP = ['400 Bad Request', 'This is no valid HTTP/1.1 request; check that the base URL begins with http://'] as const
/** By Node's code. */
const REFUSALS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The request headers are over 32 KiB; send fewer or shorter ones'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request headers did not come in time; send the request again'],
}
/** For the in-protocol error of `endAll` to reach the client. */
const FAREWELL_MS = 1_000

export function createListener(options: ListenerOptions): Listener {
  const { headersTimeout = 30_000 } = options
  const server = createServer({
    headersTimeout,
    connectionsCheckingInterval: Math.min(5_000, headersTimeout),
    requestTimeout: 0, // Node's 300 s would cut long uploads and answers (pitfall X5); readBody watches for progress
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: 32_768,
    insecureHTTPParser: false,
    noDelay: true,
  })
  const connections = trackConnections(server)
  let opening: ReturnType<typeof bindAll> | undefined
  let closed: Promise<void> | undefined
  server.on('request', options.handler)
  server.on('clientError', ({ code = '' }: NodeJS.ErrnoException, socket) => connections.refuse(socket, ...REFUSALS[code] ?? NOT_HTTP))
  // No 'upgrade' listener: Node then serves the request as if it had not asked, which suits clients that try h2c.
  server.on('connect', (_request, socket) => connections.refuse(socket, '405 Method Not Allowed',
    'dario is not a forward proxy; set the base URL of your tool to it instead of HTTPS_PROXY'))

  async function stop(graceMs: number): Promise<void> {
    const { bound } = await opening?.catch(() => undefined) ?? { bound: [] }
    const ended = bound.map((one) => new Promise((resolve) => one.close(resolve)))
    connections.closeIdle()
    await connections.finished(graceMs)
    options.exchange.endAll(new DarioError('overloaded', 'dario is shutting down; start it and send the request again'))
    await connections.finished(FAREWELL_MS)
    connections.cut()
    await Promise.all(ended)
  }

  return {
    server,
    async listen() {
      opening = bindAll(server, options)
      const { url, port } = await opening
      return { url, port }
    },
    close: (graceMs = 10_000) => closed ??= stop(graceMs),
  }
}

async function bindAll(
  server: Server, options: Pick<ListenerOptions, 'host' | 'port' | 'isGuarded'>,
): Promise<{ url: string; port: number; bound: NetServer[] }> {
  const { host, port: wanted, isGuarded } = options
  if (!isGuarded) {
    throw new DarioError('config_invalid', `On ${host} everyone in the network could spend your keys: make an access `
      + 'key first with `dario key add NAME` (or "accessKeys" in the configuration), or remove "host"')
  }
  if (host !== undefined && host !== 'localhost') {
    const port = await bind(server, wanted, host)
    return { bound: [server], url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, port }
  }
  const port = await bind(server, wanted, '127.0.0.1')
  const url = `http://localhost:${port}`
  // `localhost` may mean either address. This one only hands its connections over, so limits and tracking are shared.
  const sixth = createNetServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket))
  try {
    await bind(sixth, port, '::1')
    return { bound: [server, sixth], url, port }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') return { bound: [server], url, port } // no IPv6 here
    await new Promise((resolve) => server.close(resolve))
    if (wanted === 0 && code === 'conflict') return bindAll(server, options) // this one was free on one address only
    throw error
  }
}

/** Node's own list leaves out connections in memory, and cannot tell an open dashboard from a running answer. */
function trackConnections(server: Server) {
  const sockets = new Set<Duplex>()
  const open = createInFlight<{ response: ServerResponse; socket: Duplex; isAwaited: boolean }>()
  let closing = false
  let onFinished: (() => void) | undefined
  const isAwaiting = (): boolean => open.list().some(({ isAwaited }) => isAwaited)
  server.on('connection', (socket: Duplex) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('request', ({ method, socket }: IncomingMessage, response: ServerResponse) => {
    // Shutting down waits for answers of models; a GET (a list, an open dashboard) can be asked for again.
    const one = { response, socket, isAwaited: method !== 'GET' }
    open.add(one)
    response.on('close', () => {
      open.delete(one)
      if (!closing) return
      socket.end(() => socket.destroy())
      if (!isAwaiting()) onFinished?.()
    })
  })
  return {
    /** A plain answer in place of the handler's: there is no request to go by. */
    refuse(socket: Duplex, status: string, message: string): void {
      if (!socket.writable) return // refused already
      // Nothing may be written into an answer that has begun, and it need not be the last of those that were asked for.
      for (const one of open.list()) if (one.socket === socket && one.response.headersSent) return void socket.destroy()
      socket.on('error', () => socket.destroy()) // after CONNECT nobody else listens, and it would end the process
      const body = JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } })
      socket.end(`HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\n`
        + `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
      socket.resume() // so that the client's own end is seen
      setTimeout(() => socket.destroy(), FAREWELL_MS).unref() // not at once: a reset would overtake the answer
    },
    closeIdle(): void {
      closing = true
      const busy = new Set(open.list().map(({ socket }) => socket))
      for (const socket of sockets) if (!busy.has(socket)) socket.destroy()
    },
    /** Resolves when no answer is running any more, or after `ms`. */
    finished(ms: number): Promise<void> {
      return new Promise((resolve) => {
        if (!isAwaiting()) return resolve()
        const timer = setTimeout(resolve, ms)
        onFinished = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    },
    cut(): void {
      for (const socket of sockets) socket.destroy()
    },
  }
}

async function bind(server: NetServer, port: number, host: string): Promise<number> {
  try {
    server.listen({ port, host })
    await once(server, 'listening')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw await describeHolder(port, host)
    if (code === 'EACCES') {
      throw new DarioError('config_invalid', `Port ${port} needs more rights than dario has; choose one with --port`)
    }
    throw error
  }
  server.on('error', () => {}) // out of file descriptors: that connection is lost, dario goes on
  return (server.address() as AddressInfo).port
}

/** Pitfall W3: says who holds the port, if it is another dario. */
async function describeHolder(port: number, host: string): Promise<DarioError> {
  const version = await readVersion(port, host)
  const other = `start this one with --port ${port < 65_535 ? port + 1 : 3456}`
  return new DarioError('conflict', version === undefined
    ? `Port ${port} is taken by another program: stop it, or ${other}`
    : `dario ${version} already runs on port ${port}: use that one, stop it, or ${other}`)
}

async function readVersion(port: number, host: string): Promise<string | undefined> {
  const headers = { host: 'localhost' }
  const probe = get({ host, port, path: '/health', headers, agent: false, signal: AbortSignal.timeout(1_000) }).on('error', () => {})
  let text = ''
  try {
    const [response] = await once(probe, 'response') as [IncomingMessage]
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk
      if (text.length > 65_536) break
    }
  } catch { /* it says nothing, or not all of it */ }
  const { name, version } = parseObject(text) ?? {}
  return name !== 'dario' ? undefined : typeof version === 'string' ? toPrintable(version) : '(unknown version)'
}
