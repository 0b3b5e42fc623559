/**
 * A backend reached over HTTP: the only caller of `request`. Keep-alive, the backend's own credential, timeouts that are
 * really honoured (pitfall X4: the built-in fetch gives up after 300 s), and the answer's bytes as they come.
 * https://nodejs.org/api/http.html
 * @module
 */
import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { DarioError } from '../errors.ts'
import type { DialectName } from '../hub/types.ts'
import type { Backend, Call, Key, Upstream } from './backend.ts'
import { explain, explainBreak } from './explain.ts'
import { mergeBetas, toHeaderValue } from './headers.ts'
import { createConnector, selectProxy, toProxyAuthorization } from './tunnel.ts'
import type { Environment } from './tunnel.ts'

export interface HttpBackendOptions {
  id: string
  type: 'anthropic' | 'openai'
  /** Root of the API, with or without `/v1` and a trailing slash. */
  baseUrl: string
  speaks: readonly DialectName[]
  keys: readonly Key[]
  /** Milliseconds. */
  timeouts: { connect: number; firstByte: number; silence: number }
  /** Extra request headers; they win over the client's. */
  headers: Readonly<Record<string, string>>
  /** `anthropic-beta` tokens that are never sent. */
  dropBetas: readonly string[]
  /** dario's own version. */
  version: string
  /** Where the proxy variables are. */
  environment: Environment
}

/** Current as of every Anthropic SDK; sent when the client named none. */
const ANTHROPIC_VERSION = '2023-06-01'
/**
 * Idle sockets end before the other side ends them. Plain http is mostly a local server, where a new connection costs
 * nothing and uvicorn (LiteLLM, vLLM) hangs up after 5 s without saying so; load balancers keep TLS ones for 60 s and more.
 */
const IDLE_HTTP = 4_000
const IDLE_HTTPS = 30_000
/** Silence is looked for this many times per limit, so it is noticed late by an eighth at most. */
const SILENCE_STEPS = 8
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
  const sockets = { keepAlive: true, keepAliveMsecs: 30_000, keepAliveInitialDelay: 30_000, timeout: secure ? IDLE_HTTPS : IDLE_HTTP }
  const agent = secure ? new HttpsAgent(sockets) : new HttpAgent(sockets)
  const connector = createConnector({ target: base, proxy, agent, timeout: timeouts.connect, id })
  agent.createConnection = connector.connect
  const host = base.hostname.replace(/^\[|\]$/g, '')
  const target: RequestOptions = { protocol: base.protocol, host, port: base.port || (secure ? 443 : 80) }
  const toPath = createPathRule(options.type, base, proxy !== undefined && !secure)
  const toHeaders = createHeaderRule(options, base, secure ? undefined : proxy)
  const watched = { id, host: base.host, timeouts }

  function attempt(call: Call, headers: string[], signal: AbortSignal, fresh: boolean): Promise<IncomingMessage | 'stale'> {
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

/**
 * Path of a request: the root's own, then the call's without doubling the version (pitfall X10). OpenAI's convention is
 * a root that ends in its version (`/v1`, Gemini's `/v1beta/openai`), Anthropic's is one without; both are understood.
 * An http upstream behind a proxy is asked for by its whole URL.
 */
function createPathRule(type: HttpBackendOptions['type'], base: URL, absolute: boolean): (path: string) => string {
  const root = base.pathname.replace(/\/+$/, '')
  const versioned = type === 'openai' ? /\/v\d\w*(\/|$)/.test(root) : root.endsWith('/v1')
  const prefix = (absolute ? base.origin : '') + root
  return (path) => prefix + (versioned ? path.slice('/v1'.length) : path)
}

/** Request headers as Node's flat list: half the cost of an object, which Node would copy into a map first. */
function createHeaderRule(
  options: HttpBackendOptions, base: URL, proxy: URL | undefined,
): (call: Call, key: Key | undefined) => string[] {
  const own = new Map(Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), toHeaderValue(value)]))
  const ownBetas = own.get('anthropic-beta')
  own.delete('anthropic-beta')
  // identity: what comes is what the client gets, byte for byte, and readers have nothing to undo (pitfalls X1, X2).
  const fixed = ['host', base.host, 'accept-encoding', 'identity', ...[...own].flat()]
  const authorization = proxy === undefined ? undefined : toProxyAuthorization(proxy)
  if (authorization !== undefined) fixed.push('proxy-authorization', authorization)
  return (call, key) => {
    const headers = fixed.slice()
    for (const name in call.headers) {
      if (name === 'user-agent' || name === 'anthropic-beta' || own.has(name)) continue
      headers.push(name, call.headers[name] as string)
    }
    if (!own.has('user-agent')) headers.push('user-agent', toUserAgent(options.version, call.headers['user-agent']))
    if (call.dialect === 'anthropic') {
      const betas = mergeBetas(call.headers['anthropic-beta'], ownBetas, options.dropBetas)
      if (betas !== undefined) headers.push('anthropic-beta', betas)
      if (call.headers['anthropic-version'] === undefined && !own.has('anthropic-version')) {
        headers.push('anthropic-version', ANTHROPIC_VERSION)
      }
    }
    if (key !== undefined && key.value !== '') {
      if (options.type === 'anthropic') headers.push('x-api-key', key.value)
      else headers.push('authorization', `Bearer ${key.value}`)
    }
    if (call.body !== undefined) headers.push('content-length', String(call.body.length))
    return headers
  }
}

function toUserAgent(version: string, client: string | undefined): string {
  return client === undefined ? `dario/${version}` : `dario/${version} (${client})`
}

interface Watched { id: string; host: string; timeouts: HttpBackendOptions['timeouts'] }

/**
 * One request up to the answer's headers; the promise is rejected, or later the body destroyed, with a DarioError or with
 * the signal's reason. 'stale': a kept-alive socket was already dead.
 */
function exchange(
  open: () => ClientRequest, body: Buffer | undefined, signal: AbortSignal, watched: Watched,
): Promise<IncomingMessage | 'stale'> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const request = start(open, watched)
    const started = performance.now()
    let response: IncomingMessage | undefined
    let silence: NodeJS.Timeout | undefined
    const end = (error: unknown): void => {
      clearTimeout(firstByte)
      if (response === undefined) request.destroy()
      else response.destroy(error as Error)
      reject(error)
    }
    const abort = (): void => end(signal.reason)
    const firstByte = setTimeout(() => end(lateError(watched, 'firstByte')), watched.timeouts.firstByte)
    signal.addEventListener('abort', abort, { once: true })
    request.once('response', (message) => {
      clearTimeout(firstByte)
      response = explainingBreaks(message, watched)
      silence = watchSilence(message, watched.timeouts.silence, () => end(lateError(watched, 'silence')))
      resolve(message)
    })
    request.on('error', (cause: NodeJS.ErrnoException) => {
      if (response?.complete === true) return // an early answer (413) beats the broken rest of the upload
      if (response === undefined && isStale(request, cause, started)) resolve('stale')
      end(response === undefined ? explain(cause, watched.id, watched.host) : explainBreak(cause, watched.id, watched.host))
    })
    request.once('close', () => {
      clearTimeout(firstByte)
      clearInterval(silence)
      signal.removeEventListener('abort', abort)
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
    throw new DarioError('config_invalid', `the key or a header of backends.${id} holds a character that HTTP does not allow`)
  }
}

/**
 * A kept-alive socket that the other side closed while it was idle: Node's documentation asks for one resend. A POST may
 * in theory have been processed, but a dead socket fails within a round trip; a later reset is a server that gave up on
 * this request, and asking again would pay twice.
 */
function isStale(request: ClientRequest, cause: NodeJS.ErrnoException, started: number): boolean {
  return request.reusedSocket && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE') && performance.now() - started < STALE_WITHIN
}

/** Node destroys an answer that was cut with a bare ECONNRESET; wrapping the stream to translate it would cost per chunk. */
function explainingBreaks(response: IncomingMessage, { id, host }: Watched): IncomingMessage {
  const destroy = response.destroy
  response.destroy = (cause) => {
    const cut = (cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNRESET'
    return destroy.call(response, cut ? explainBreak(cause, id, host) : cause)
  }
  return response
}

/**
 * Calls `late` when nothing came for `ms`. No listener per chunk: the socket counts its bytes anyway. Time in which the
 * reader leaves data lying does not count, since backpressure then keeps the rest away.
 */
function watchSilence(response: IncomingMessage, ms: number, late: () => void): NodeJS.Timeout {
  const { socket } = response
  let seen = socket.bytesRead
  let quiet = 0
  return setInterval(() => {
    if (socket.bytesRead !== seen || response.readableLength > 0 || response.complete) quiet = 0
    else if (++quiet === SILENCE_STEPS) late()
    seen = socket.bytesRead
  }, ms / SILENCE_STEPS)
}

function lateError({ id, host, timeouts }: Watched, setting: 'firstByte' | 'silence'): DarioError {
  const what = setting === 'firstByte' ? 'did not begin to answer' : 'fell silent in the middle of its answer'
  const message = `${host} ${what} for ${timeouts[setting]} ms; raise backends.${id}.timeouts.${setting} if it needs longer`
  return new DarioError('upstream_timeout', message)
}

/** An API does not redirect; following one could carry the key to another host (pitfall Z10). */
function redirectError(id: string, base: URL, status: number, location: string | undefined): DarioError {
  const to = location !== undefined && URL.canParse(location, base.href) ? new URL(location, base.href).host : 'an unnamed host'
  return new DarioError('upstream_error', `${base.host} redirects to ${to} (${status}), which is not followed; correct backends.${id}.baseUrl`)
}
