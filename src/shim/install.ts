/**
 * The shim: what this process asks of the vendors' hosts is answered by a proxy in the same process, over memory. Global
 * `fetch` and `request` and `get` of node:http and node:https are replaced; nothing listens, everything else stays.
 * https://nodejs.org/api/module.html#modulesyncbuiltinesmexports
 * @module
 */
import http from 'node:http'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import { connect as connectTcp } from 'node:net'
import type { TcpNetConnectOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { urlToHttpOptions } from 'node:url'
import { dressSocket } from './socket.ts'
import { watchUndici } from './undici.ts'

/** What answers; `createProxy()` makes one. */
export interface ShimTarget {
  fetch(request: Request): Promise<Response>
  connect(): Duplex
}

export interface ShimOptions {
  /** Default: a proxy of the user's own configuration, made at the first request. Yours to close. */
  proxy?: ShimTarget | undefined
  /** `host` (port 443) or `host:port`, exactly; default `api.anthropic.com` and `api.openai.com`. */
  hosts?: readonly string[] | undefined
}

interface Active {
  hosts: ReadonlySet<string>
  /** undefined: there is no proxy to be had, and requests go where they went before. */
  load(): Promise<ShimTarget | undefined>
  restore(): void
}

type Input = Parameters<typeof fetch>[0]
type Callback = (response: IncomingMessage) => void
type Arguments = readonly (string | URL | RequestOptions | Callback | undefined)[]
type Send = (...args: Arguments) => ClientRequest

let active: Active | undefined

/** Only these paths are the vendors' APIs; a login or an update at the same host is not ours. */
const PATHS = /^\/v1\/(?!realtime)/

/** From now on the listed hosts are answered in this process. A second call replaces the first. */
export function install({ proxy, hosts = ['api.anthropic.com', 'api.openai.com'] }: ShimOptions = {}): void {
  uninstall()
  let loading: Promise<ShimTarget | undefined> | undefined
  const before = { fetch: globalThis.fetch, http: { request: http.request, get: http.get, ClientRequest: http.ClientRequest }, https: { request: https.request, get: https.get } }
  const sendPlain = before.http.request as Send
  const now: Active = active = {
    hosts: new Set(hosts.map((host) => (/:\d+$/.test(host) ? host : `${host}:443`).toLowerCase())),
    load: () => loading ??= proxy === undefined ? createOwn() : Promise.resolve(proxy),
    restore() {
      // Whoever has replaced ours meanwhile still calls them, and they pass everything through.
      if (globalThis.fetch === patched.fetch) globalThis.fetch = before.fetch
      unwatch()
      if (http.request === patched.http.request) Object.assign(http, before.http)
      if (https.request === patched.https.request) Object.assign(https, before.https)
      syncBuiltinESMExports()
    },
  }
  const patched = {
    async fetch(input: Input, init?: RequestInit): Promise<Response> {
      return active === now && isOurs(now, input) ? answerFetch(now, before.fetch, input, init) : before.fetch(input, init)
    },
    http: { ...wrap(sendPlain, false), ClientRequest: wrapClass(before.http.ClientRequest) },
    https: wrap(before.https.request as Send, true),
  }
  const unwatch = watchUndici((address) => active === now && isOurs(now, address), (url) => openSocket(now, url, {}))
  globalThis.fetch = patched.fetch
  Object.assign(http, patched.http)
  Object.assign(https, patched.https)
  syncBuiltinESMExports() // reaches `import { request } from 'node:https'`

  /** The same request over memory; undefined: it is not ours. */
  function divert(args: Arguments, secure: boolean): [RequestOptions, Callback | undefined] | undefined {
    const options = active === now ? readOptions(args, secure, now) : undefined
    if (options === undefined) return undefined
    const { url, ...rest } = options
    const createConnection = (_: unknown, ready: (error: Error | null, socket?: Duplex) => void): void => {
      openSocket(now, url, rest).then((socket) => ready(null, socket), ready)
    }
    // Without an agent Node takes the socket from createConnection, and it need not be a socket.
    const call = { ...rest, protocol: 'http:', agent: undefined, defaultPort: secure ? 443 : 80, createConnection } as RequestOptions
    return [call, args.find((one) => typeof one === 'function')]
  }

  function wrap(send: Send, secure: boolean): { request: Send; get: Send } {
    function request(...args: Arguments): ClientRequest {
      const diverted = divert(args, secure)
      return diverted === undefined ? send(...args) : sendPlain(...diverted)
    }
    return { request, get: (...args) => request(...args).end() }
  }

  function wrapClass(Made: typeof http.ClientRequest): typeof http.ClientRequest {
    // It goes by its agent, which is all that `https.request` adds.
    const isSecure = (one: unknown): boolean => (one as { agent?: { protocol?: string } } | null)?.agent?.protocol === 'https:'
    return new Proxy(Made, { construct: (_, args: Arguments, made) => Reflect.construct(Made, divert(args, args.some(isSecure)) ?? args, made) as object })
  }
}

/** Everything as it was before `install`; answers under way still arrive. */
export function uninstall(): void {
  active?.restore()
  active = undefined
}

function isOurs({ hosts }: Active, input: Input): boolean {
  const address = String((input as Partial<Request> | null)?.url ?? input)
  const url = URL.canParse(address) ? new URL(address) : undefined
  return url !== undefined && PATHS.test(url.pathname) && hosts.has(`${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`)
}

async function answerFetch(
  { load }: Active, untouched: typeof fetch, input: Input, init: RequestInit | undefined,
): Promise<Response> {
  const target = await load()
  if (target === undefined) return untouched(input, init)
  const request = new Request(input, init)
  const response = await target.fetch(request).catch((error: unknown) => {
    if (request.signal.aborted) throw error
    throw new TypeError('fetch failed', { cause: error }) // what clients know as "try again"
  })
  return Object.defineProperty(response, 'url', { value: request.url })
}

/** The options of a request that is ours, read as Node reads them. */
function readOptions(args: Arguments, secure: boolean, { hosts }: Active): (RequestOptions & { url: URL }) | undefined {
  const [input] = args
  if (typeof input === 'string' && !URL.canParse(input)) return undefined // Node has the right error for it
  const fromUrl = typeof input === 'string' ? urlToHttpOptions(new URL(input)) : input instanceof URL ? urlToHttpOptions(input) : {}
  const given = args.find((one) => typeof one === 'object' && !(one instanceof URL)) as RequestOptions | undefined
  const options = { ...fromUrl, ...given }
  const { socketPath, headers, path } = options
  const names = Array.isArray(headers) ? headers as string[] : Object.keys(headers ?? {})
  // The mark of the proxy's own requests; and a websocket is no request for an answer.
  if ('dario' in options || socketPath || names.some((name) => /^upgrade$/i.test(name))) return undefined
  const host = String(options.hostname || options.host || 'localhost').toLowerCase()
  const port = Number(options.port || options.defaultPort || (secure ? 443 : 80))
  if (!hosts.has(`${host}:${port}`) || !PATHS.test(path ?? '')) return undefined
  return { ...options, host, hostname: host, port, url: new URL(`${secure ? 'https' : 'http'}://${host}:${port}`) }
}

/** Without a proxy the same bytes go to the host itself: that is all a tool notices of our failure. */
async function openSocket({ load }: Active, { protocol, hostname, port }: URL, options: RequestOptions): Promise<Duplex> {
  const secure = protocol === 'https:'
  const target = await load()
  if (target !== undefined) return dressSocket(target.connect(), secure, options.timeout)
  const { path: _, ...rest } = options // to a socket it would be the path of a pipe
  const to = { ...rest, host: hostname, port: Number(port || (secure ? 443 : 80)) } as TcpNetConnectOpts
  return secure ? connectTls({ ...to, servername: hostname }) : connectTcp(to)
}

/** The proxy of the user's configuration. Loaded late: most processes that carry the shim never ask a model. */
async function createOwn(): Promise<ShimTarget | undefined> {
  try {
    const [{ createProxy }, { assemble, toUsageFolder }, { createOutput }] = await Promise.all([
      import('../proxy.ts'), import('../cli/command.ts'), import('../cli/output.ts')])
    const silent = { write: () => true }
    const environment = process.env
    const context = { name: 'shim', positionals: [], values: {}, environment, output: createOutput(silent, silent, environment) }
    const { config } = await assemble(context)
    // No door, so no keys for it: what calls is this very process.
    return createProxy({ config: { ...config, host: '127.0.0.1', accessKeys: [] }, environment, usageFolder: toUsageFolder(context) })
  } catch (error) {
    process.stderr.write(`dario: no proxy in this process, so requests go to their own hosts: ${(error as Error).message}\n`)
    return undefined
  }
}
