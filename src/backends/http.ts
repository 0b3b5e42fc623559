/**
 * A backend reached over HTTP: keep-alive, timeouts that are really honoured (pitfall X4: the built-in fetch gives up
 * after 300 s), and the answer's bytes as they come.
 * @module
 */
import { DarioError } from '../errors.ts'
import { createDeadlines } from '../hub/deadlines.ts'
import type { Deadline } from '../hub/deadlines.ts'
import type { Backend, Call, Signal, Upstream } from './backend.ts'
import { createConnections } from './connections.ts'
import type { Connection, Waiting } from './connections.ts'
import { createHeadRule } from './outgoing.ts'
import type { HttpBackendOptions } from './outgoing.ts'
import { selectProxy, toAddress } from './proxies.ts'
import { createSource } from './source.ts'
import type { Source } from './source.ts'
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

/** @throws DarioError `config_invalid` for a proxy variable that is not a URL. */
export function createHttpBackend(options: HttpBackendOptions): Backend {
  const { id, timeouts } = options
  const base = new URL(options.baseUrl)
  const secure = base.protocol === 'https:'
  const proxy = selectProxy(base, options.environment)
  const connector = createConnector(base, proxy, timeouts.connect, id)
  const connections = createConnections(connector, secure ? IDLE_HTTPS : IDLE_HTTP)
  const toHead = createHeadRule(options, base, secure ? undefined : proxy)
  const deadlines = createDeadlines(Math.min(timeouts.firstByte, timeouts.silence) / STEPS)

  /** One request up to the answer's head; twice when a kept-alive socket was already dead. */
  function ask(call: Call, head: string, signal: Signal): Promise<Upstream> {
    return new Promise((resolve, reject) => {
      const started = performance.now()
      const kept = connections.take()
      let connection: Connection | undefined
      let body: Source | undefined
      let isWhole = false
      let isOver = false

      /** Whatever comes of the connection now is no longer heard. */
      function finish(): void {
        isOver = true
        deadlines.delete(deadline)
        signal.removeEventListener('abort', abort)
        if (!isWhole) connection?.destroy()
      }
      function stop(reason: unknown): void {
        if (isOver) return
        if (body !== undefined) return body.fail(reason as Error, signal.aborted)
        finish()
        reject(reason as Error)
      }
      const abort = (): void => stop(signal.reason)
      function use(open: Connection): void {
        connection = open
        connection.send(call.method, head, call.body, request)
      }
      function connect(): void {
        connection = undefined
        connections.open().then((open) => {
          if (isOver) open.release() // for the next request
          else use(open)
        }, (cause: unknown) => stop(explain(cause, id, base.host)))
      }

      const deadline: Deadline = {
        until: started + timeouts.firstByte,
        late() {
          if (body === undefined) stop(lateError('firstByte'))
          // Time in which the reader leaves data lying is not the upstream's silence: backpressure keeps the rest away.
          else if (body.held > 0) progress()
          else stop(lateError('silence'))
        },
      }
      function progress(): void {
        deadline.until = performance.now() + timeouts.silence
      }

      const request: Waiting = {
        head(status, headers) {
          progress()
          body = createSource(() => {
            progress() // the time before was the reader's
            connection?.resume()
          }, finish)
          resolve({ status, headers, body })
        },
        body(bytes) {
          progress()
          return body?.push(bytes) ?? false
        },
        end() {
          isWhole = true
          connection = undefined // it may carry another request already
          deadlines.delete(deadline)
          body?.end()
        },
        fail(cause, wasHeard) {
          if (!wasHeard && connection === kept && isStale(cause, started)) connect()
          else stop(explain(cause, id, base.host, body !== undefined))
        },
      }
      signal.addEventListener('abort', abort)
      deadlines.add(deadline)
      if (kept === undefined) connect()
      else use(kept)
    })
  }

  function lateError(setting: 'firstByte' | 'silence'): DarioError {
    const what = setting === 'firstByte' ? 'did not begin to answer' : 'fell silent in the middle of its answer'
    const limit = `backends.${id}.timeouts.${setting}`
    const message = `${base.host} ${what} for ${timeouts[setting]} ms; raise ${limit} if it needs longer`
    return new DarioError('upstream_timeout', message)
  }

  return {
    id,
    type: options.type,
    speaks: options.speaks,
    keys: options.keys,
    host: toAddress(base).host,
    async send(call, key, signal): Promise<Upstream> {
      const head = toHead(call, key)
      signal.throwIfAborted()
      const answer = await ask(call, head, signal)
      signal.throwIfAborted()
      const { status, headers, body } = answer
      if (status >= 300 && status < 400 && status !== 304) {
        body.destroy()
        throw redirectError(id, base, status, headers.location)
      }
      return answer
    },
    close: async () => connector.close(),
  }
}

/**
 * A kept-alive socket that the other side closed while it was idle. A POST may in theory have been processed, but a dead
 * socket fails within a round trip; a later reset is a server that gave up on this request, and asking again would pay
 * twice. https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
 */
function isStale(cause: unknown, started: number): boolean {
  const { code = '' } = cause as NodeJS.ErrnoException
  return /^(ECONNRESET|ECONNABORTED|EPIPE)$/.test(code) && performance.now() - started < STALE_WITHIN // aborted: Windows
}

/** An API does not redirect; following one could carry the key to another host (pitfall Z10). */
function redirectError(id: string, base: URL, status: number, location: string | undefined): DarioError {
  const known = location !== undefined && URL.canParse(location, base.href)
  const to = known ? new URL(location, base.href).host : 'an unnamed host'
  const message = `${base.host} redirects to ${to} (${status}), which is not followed; correct backends.${id}.baseUrl`
  return new DarioError('upstream_error', message)
}

/**
 * What a failed connection means and what to do about it. https://nodejs.org/api/errors.html#nodejs-error-codes
 * `host` is `name:port`. A DarioError passes as it is; Node's own message never does, since it may quote a URL.
 */
function explain(cause: unknown, id: string, host: string, hasBegun = false): DarioError {
  if (cause instanceof DarioError) return cause
  const { code = 'unknown error' } = cause as NodeJS.ErrnoException
  const isForeign = code.startsWith('HTTP_')
  const known = hasBegun && !isForeign ? BROKEN_OFF : SENTENCES.find(([pattern]) => pattern.test(code))?.[1] ?? ''
  const words = known.replace('HOST', () => host).replace('SETTING', () => `backends.${id}.baseUrl`)
  return new DarioError(isForeign ? 'upstream_protocol' : 'upstream_unreachable', `${words} (${code})`, { cause })
}

const BROKEN_OFF = 'HOST broke off in the middle of its answer; ask again'

/** By Node's error code, the first that matches. HOST is the upstream's, SETTING where its URL is configured. */
const SENTENCES: readonly [RegExp, string][] = [
  [/^HTTP_HEADER_OVERFLOW$/, 'HOST sent too many headers; check SETTING'],
  [/^HTTP_/, 'HOST sent something that is not HTTP; check SETTING'],
  [
    /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT)$/,
    'the certificate of HOST is signed by an authority that Node does not know; if it is your company\'s, '
      + 'start dario with NODE_EXTRA_CA_CERTS=its-certificate.pem',
  ],
  [/^CERT_/, 'the certificate of HOST is not valid; have it renewed, or see NODE_EXTRA_CA_CERTS'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'the certificate of HOST is for another name; correct SETTING'],
  [/_ALERT_/, 'HOST refuses this TLS: it wants another version or a client certificate; correct the port in SETTING or ask its operator'],
  [/^(EPROTO$|ERR_SSL_)/, 'HOST does not speak TLS; correct the scheme or port in SETTING'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, 'the name of HOST cannot be resolved; check SETTING and the network'],
  [/^ECONNREFUSED$/, 'nothing listens at HOST; start that server or correct SETTING'],
  [/^(ECONNRESET|EPIPE)$/, 'HOST closed the connection; try again, and see its log if it happens often'],
  [/^/, 'HOST cannot be reached; check SETTING and the network'],
]
