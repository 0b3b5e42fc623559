/**
 * A backend reached over HTTP: the only caller of `request`. Keep-alive, timeouts that are really honoured (pitfall X4:
 * the built-in fetch gives up after 300 s), and the answer's bytes as they come.
 * https://nodejs.org/api/http.html
 * @module
 */
import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { DarioError } from '../errors.ts'
import type { Backend, Call, Signal, Upstream } from './backend.ts'
import { explain, explainBreak } from './explain.ts'
import { createHeaderRule, createPathRule } from './outgoing.ts'
import type { HttpBackendOptions } from './outgoing.ts'
import { BRACKETS, selectProxy } from './proxies.ts'
import { createConnector } from './tunnel.ts'

/**
 * Idle sockets end before the other side ends them. Plain http is mostly a local server, where a new connection costs
 * nothing and uvicorn (LiteLLM, vLLM) hangs up after 5 s without saying so; load balancers keep TLS ones for a minute.
 */
const IDLE_HTTP = 4_000
const IDLE_HTTPS = 30_000
/** Lateness is looked for this many times per limit, so it is noticed late by an eighth at most. */
const STEPS = 8
/** Milliseconds in which a dead kept-alive socket shows itself. */
const STALE_WITHIN = 2_000
/** A longer timer would fire at once. */
const MAX_TIMER = 2_147_483_647

/** @throws DarioError `config_invalid` for a proxy variable that is not a URL. */
export function createHttpBackend(options: HttpBackendOptions): Backend {
  const { id } = options
  const limit = (ms: number): number => Math.min(ms, MAX_TIMER)
  const { connect, firstByte, silence } = options.timeouts
  const timeouts = { connect: limit(connect), firstByte: limit(firstByte), silence: limit(silence) }
  const base = new URL(options.baseUrl)
  const secure = base.protocol === 'https:'
  const proxy = selectProxy(base, options.environment)
  // TCP probes keep address translators from forgetting a connection while a model thinks for minutes.
  const probes = { keepAliveMsecs: 30_000, keepAliveInitialDelay: 30_000 }
  const sockets = { keepAlive: true, ...probes, timeout: secure ? IDLE_HTTPS : IDLE_HTTP }
  const agent = secure ? new HttpsAgent(sockets) : new HttpAgent(sockets)
  const connector = createConnector({ target: base, proxy, agent, timeout: timeouts.connect, id })
  agent.createConnection = connector.connect
  agent.getName = () => id // one agent, one host: Node would join twenty TLS options per request to tell hosts apart
  const host = base.hostname.replace(BRACKETS, '')
  // The mark is for the shim, which would otherwise catch our own requests to a vendor.
  const target: RequestOptions & { dario: true } = { dario: true, protocol: base.protocol, host, port: base.port || (secure ? 443 : 80) }
  const toPath = createPathRule(options.type, base, proxy !== undefined && !secure)
  const toHeaders = createHeaderRule(options, base, secure ? undefined : proxy)
  const watched = { id, host: base.host, timeouts }

  function attempt(call: Call, headers: string[], signal: Signal, fresh: boolean): Promise<Answer> {
    const how = fresh ? { createConnection: connector.connect } : { agent }
    return exchange(() => {
      const to = { ...target, ...how, method: call.method, path: toPath(call.path), headers }
      return secure ? requestHttps(to) : requestHttp(to)
    }, call.body, signal, watched)
  }

  return {
    id,
    type: options.type,
    speaks: options.speaks,
    keys: options.keys,
    host,
    async send(call, key, signal): Promise<Upstream> {
      const headers = toHeaders(call, key)
      let response = await attempt(call, headers, signal, false)
      if (response === 'stale') response = await attempt(call, headers, signal, true)
      if (response === 'stale') throw new DarioError('internal', 'a new socket cannot be stale')
      const status = response.statusCode ?? 0
      if (status >= 300 && status < 400 && status !== 304) {
        response.destroy()
        throw redirectError(id, base, status, response.headers.location)
      }
      return { status, headers: response.headers, body: response }
    },
    async close() {
      connector.close()
      agent.destroy()
    },
  }
}

interface Watched { id: string; host: string; timeouts: HttpBackendOptions['timeouts'] }

/** 'stale': a kept-alive socket was already dead. */
type Answer = IncomingMessage | 'stale'

/**
 * One request up to the answer's headers; the promise is rejected, or later the body destroyed, with a DarioError or
 * with the signal's reason.
 */
function exchange(
  open: () => ClientRequest, body: Buffer | undefined, signal: Signal, watched: Watched,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const request = start(open, watched)
    const started = performance.now()
    let response: IncomingMessage | undefined
    let socket: Socket | undefined
    const end = (error: unknown): void => {
      clearInterval(watch)
      if (response === undefined) request.destroy()
      else response.destroy(error as Error)
      reject(error)
    }
    const abort = (): void => end(signal.reason)
    const cut = (): void => {
      if (response?.complete === false) response.destroy(explainBreak({ code: 'ECONNRESET' }, watched.id, watched.host))
    }
    const watch = watchProgress(watched.timeouts, () => response, (limit) => end(lateError(watched, limit)))
    signal.addEventListener('abort', abort)
    request.once('response', (message) => {
      response = message
      socket = message.socket // the message itself forgets it
      // In front of Node's own listener, which destroys a cut answer with a bare ECONNRESET.
      socket.prependListener('close', cut)
      resolve(message)
    })
    request.on('error', (cause: NodeJS.ErrnoException) => {
      if (response?.complete === true) return // an early answer (413) beats the broken rest of the upload
      if (response === undefined && isStale(request, cause, started)) resolve('stale')
      end((response === undefined ? explain : explainBreak)(cause, watched.id, watched.host))
    })
    request.once('close', () => {
      clearInterval(watch)
      socket?.off('close', cut)
      signal.removeEventListener('abort', abort)
      // Node closes in silence on 101 (an upgrade that nobody asked for).
      if (response === undefined) end(silentError(watched))
    })
    request.end(body)
  })
}

/** @throws DarioError when Node refuses a header or the path before anything is sent. */
function start(open: () => ClientRequest, { id }: Watched): ClientRequest {
  try {
    return open()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_UNESCAPED_CHARACTERS') {
      throw new DarioError('invalid_request', 'the path of the request holds a character that HTTP does not allow')
    }
    // Not the cause: it may quote the value, and the value may be the key.
    const message = `the key or a header of backends.${id} holds a character that HTTP does not allow`
    throw new DarioError('config_invalid', message)
  }
}

/**
 * A kept-alive socket that the other side closed while it was idle: Node's documentation asks for one resend. A POST
 * may in theory have been processed, but a dead socket fails within a round trip; a later reset is a server that gave
 * up on this request, and asking again would pay twice.
 */
function isStale(request: ClientRequest, cause: NodeJS.ErrnoException, started: number): boolean {
  const reset = cause.code === 'ECONNRESET' || cause.code === 'EPIPE'
  return reset && request.reusedSocket && performance.now() - started < STALE_WITHIN
}

/**
 * Calls `late` when no answer began, or nothing came, for the time of that limit. No listener per chunk: the socket
 * counts its bytes anyway. Time in which the reader leaves data lying does not count, since backpressure then keeps the
 * rest away. One timer for both limits: each costs microseconds per request.
 */
function watchProgress(
  { firstByte, silence }: HttpBackendOptions['timeouts'], answer: () => IncomingMessage | undefined,
  late: (limit: 'firstByte' | 'silence') => void,
): NodeJS.Timeout {
  const step = Math.min(firstByte, silence) / STEPS
  let seen = -1
  let quiet = 0
  return setInterval(() => {
    quiet += step
    const response = answer()
    if (response === undefined) return quiet >= firstByte ? late('firstByte') : undefined
    const { bytesRead } = response.socket
    if (bytesRead !== seen || response.readableLength > 0 || response.complete) quiet = 0
    else if (quiet >= silence) late('silence')
    seen = bytesRead
  }, step)
}

function lateError({ id, host, timeouts }: Watched, setting: 'firstByte' | 'silence'): DarioError {
  const what = setting === 'firstByte' ? 'did not begin to answer' : 'fell silent in the middle of its answer'
  const limit = `backends.${id}.timeouts.${setting}`
  const message = `${host} ${what} for ${timeouts[setting]} ms; raise ${limit} if it needs longer`
  return new DarioError('upstream_timeout', message)
}

function silentError({ id, host }: Watched): DarioError {
  return new DarioError('upstream_protocol', `${host} closed without an answer; check backends.${id}.baseUrl`)
}

/** An API does not redirect; following one could carry the key to another host (pitfall Z10). */
function redirectError(id: string, base: URL, status: number, location: string | undefined): DarioError {
  const known = location !== undefined && URL.canParse(location, base.href)
  const to = known ? new URL(location, base.href).host : 'an unnamed host'
  const message = `${base.host} redirects to ${to} (${status}), which is not followed; correct backends.${id}.baseUrl`
  return new DarioError('upstream_error', message)
}
