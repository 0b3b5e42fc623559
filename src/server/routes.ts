/**
 * Every endpoint of dario: method and path to an operation in a dialect, and the handler that runs guard, body and
 * exchange in this order. Errors go out in the dialect of the path that was called.
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Dialect } from '../dialects/dialect.ts'
import { DarioError, toDarioError } from '../errors.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Operation } from '../exchange/job.ts'
import type { DialectName, JsonObject } from '../hub/types.ts'
import type { Page } from '../observe/dashboard.ts'
import { readBody, respond } from './body.ts'
import { toPrintable } from './guard.ts'
import type { Guard } from './guard.ts'
import type { ModelQuery } from './models.ts'

export interface HandlerOptions {
  exchange: Pick<Exchange, 'handle'>
  guard: Guard
  settings: () => { maxBodyBytes: number }
  models: (query: ModelQuery) => Promise<JsonObject>
  /** `authorised` is false for a caller without the access key: it may learn that dario runs, and nothing else. */
  health: (authorised: boolean) => object
  dialectOf: (name: DialectName) => Pick<Dialect, 'encodeError'> | Promise<Pick<Dialect, 'encodeError'>>
  /** Further GET paths (`/`, `/metrics`). */
  pages: Readonly<Record<string, Page>>
  newId: (prefix: string) => string
  /** Unix time in ms. */
  now: () => number
  /** One line without secrets. */
  log: (line: string) => void
}

interface Route {
  methods: readonly string[]
  /** `own`: answered here. */
  operation: Operation | 'own'
  /** undefined: both vendors have this path, and the `anthropic-version` header tells. */
  dialect?: DialectName
}

const GET = ['GET', 'HEAD']
const POST = ['POST']
const ANY = ['GET', 'HEAD', 'POST', 'DELETE']
const toRelayed = (methods: string[]) => (path: string): [string, Route] => [path, { methods, operation: 'passthrough', dialect: 'chat' }]

/** Below `/v1`. A trailing `/*` stands for the path itself and everything below it. */
const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/messages', { methods: POST, operation: 'generate', dialect: 'anthropic' }],
  ['/messages/count_tokens', { methods: POST, operation: 'count_tokens', dialect: 'anthropic' }],
  ['/messages/batches/*', { methods: ANY, operation: 'passthrough', dialect: 'anthropic' }],
  ['/chat/completions', { methods: POST, operation: 'generate', dialect: 'chat' }],
  ['/responses', { methods: POST, operation: 'generate', dialect: 'responses' }],
  ['/responses/*', { methods: ANY, operation: 'passthrough', dialect: 'responses' }],
  ['/models/*', { methods: GET, operation: 'own' }],
  ...['/embeddings', '/completions', '/moderations', '/rerank'].map(toRelayed(POST)),
  ...['/images/*', '/audio/*', '/batches/*'].map(toRelayed(ANY)),
  ['/files/*', { methods: ANY, operation: 'passthrough' }],
  ['/health', { methods: GET, operation: 'own' }],
])
/** What nearly every client asks for; the rules below would find nothing to change. */
const PLAIN_PATH = /^\/v1(?:\/[a-z_]+)+$/
const ID_HEADER = 'dario-request-id'
const PAGE: Route = { methods: GET, operation: 'own' }

/** Returns the listener for `request` events of a node:http server. */
export function createHandler(options: HandlerOptions): (request: IncomingMessage, response: ServerResponse) => void {
  return function handle(request, response) {
    const id = options.newId('req_')
    serve(options, request, response, id).catch((thrown: unknown) => fail(options, request, response, id, thrown))
      .catch(() => response.destroy()) // not even the words for an error could be loaded; the log has it
  }
}

async function serve(
  options: HandlerOptions, request: IncomingMessage, response: ServerResponse, id: string,
): Promise<void> {
  const received = options.now()
  const { guard, exchange } = options
  const { loopback, origin, preflight } = guard.checkSource(request)
  if (origin !== undefined) allowOrigin(request, response, origin)
  if (preflight) return void response.writeHead(204, { [ID_HEADER]: id }).end()
  const { path, query } = parseTarget(request.url ?? '')
  const method = request.method ?? ''
  const page = options.pages[path]
  const accessKey = page?.open === true || path === '/health' ? undefined : guard.checkKey(request)
  const route = page === undefined ? findRoute(path) : PAGE
  if (route === undefined) throw unknownPath(request, Object.keys(options.pages))
  if (/\bwebsocket\b/i.test(request.headers.upgrade ?? '')) {
    throw new DarioError('invalid_request', 'dario speaks no WebSocket; send the request with POST', { status: 426 })
  }
  if (!route.methods.includes(method)) {
    const allow = route.methods.join(', ')
    response.setHeader('allow', allow)
    throw new DarioError('method_not_allowed', `dario has no ${describe(request)}; that path takes ${allow}`)
  }
  const { operation, dialect = readDialect(request) } = route
  if (operation === 'own') {
    // The exchange names its answers itself: a header set apart makes Node take the slow way through all of them.
    response.setHeader(ID_HEADER, id)
    const knowsKey = (): boolean => isAuthorised(guard, request)
    if (page !== undefined) return page.serve(request, response, knowsKey)
    if (path === '/health') return respond(request, response, 200, options.health(knowsKey()))
    const anthropic = 'anthropic-version' in request.headers
    return respond(request, response, 200, await options.models({ id: decode(path.slice('/models/'.length)), query, anthropic }))
  }
  const body = await readBody(request, options.settings().maxBodyBytes)
  const { headers } = request
  delete headers['content-encoding'] // the body is plain now
  const incoming = { id, operation, dialect, method, path: `/v1${path}${query}`, headers, body, loopback, accessKey, received }
  await exchange.handle(incoming, response)
}

/**
 * Splits a request target into a path below the API root and a query string with its `?`. `/v1` in front, repeated or
 * missing, doubled slashes and one at the end make no difference (pitfalls N2, X10).
 * @throws DarioError `invalid_request` for what an upstream could read as another path than we do.
 */
export function parseTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?')
  const raw = mark === -1 ? target : target.slice(0, mark)
  if (mark === -1 && PLAIN_PATH.test(target)) return { path: target.slice(3), query: '' }
  const segments = raw.includes('%') ? decode(raw).split(/[/\\]/) : raw.split('/')
  // An absolute form (`http://other/v1/...`) names a host that the guard has not seen.
  if (!raw.startsWith('/') || /[^\x21-\x7e]|[#\\]/.test(target) || segments.some((segment) => /^\.{1,2}$|[\x00-\x1f\x7f]/.test(segment))) {
    throw new DarioError('invalid_request', 'The path must begin with / and have no "..", no control characters and no '
      + 'fragment; check the base URL of your tool')
  }
  const path = raw.replace(/\/{2,}/g, '/').replace(/^(?:\/v1)+(?=\/|$)/, '').replace(/\/$/, '')
  return { path: path === '' ? '/' : path, query: mark === -1 ? '' : target.slice(mark) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new DarioError('invalid_request', 'The path has a broken % escape; check the base URL of your tool')
  }
}

function findRoute(path: string): Route | undefined {
  const exact = ROUTES.get(path)
  if (exact !== undefined) return exact
  for (let parent = path; parent !== ''; parent = parent.slice(0, parent.lastIndexOf('/'))) {
    const route = ROUTES.get(`${parent}/*`)
    if (route !== undefined) return route
  }
  return undefined
}

function isAuthorised(guard: Guard, request: IncomingMessage): boolean {
  try {
    guard.checkKey(request)
    return true
  } catch {
    return false
  }
}

/** The one page origin that was configured, never a wildcard (pitfall Z2). */
function allowOrigin(request: IncomingMessage, response: ServerResponse, origin: string): void {
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('vary', 'origin, access-control-request-headers')
  response.setHeader('access-control-expose-headers', '*')
  if (request.method !== 'OPTIONS') return
  response.setHeader('access-control-allow-methods', 'GET, POST, DELETE')
  response.setHeader('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '')
  // Chromium asks this of pages on the internet that call this machine.
  if (request.headers['access-control-request-private-network'] === 'true') {
    response.setHeader('access-control-allow-private-network', 'true')
  }
}

function unknownPath(request: IncomingMessage, pages: string[]): DarioError {
  const known = [...ROUTES.keys()].map((route) => `/v1${route}`)
  return new DarioError('not_found', `dario has no ${describe(request)}; it has ${[...known, ...pages].join(', ')}. `
    + 'Check the base URL of your tool')
}

/** As it was asked for; never the query, which may hold a secret. */
function describe({ method, url }: IncomingMessage): string {
  return toPrintable(`${method} ${url?.split('?', 1)[0]}`)
}

/** Whose words an error must use (pitfall E3): the path tells, else a header that only Anthropic's clients send. */
function readDialect(request: IncomingMessage): DialectName {
  const path = request.url?.split('?', 1)[0] ?? ''
  if (/\/messages(?:\/|$)/.test(path)) return 'anthropic'
  if (/\/responses(?:\/|$)/.test(path)) return 'responses'
  if (/\/chat\/completions(?:\/|$)/.test(path)) return 'chat'
  return 'anthropic-version' in request.headers ? 'anthropic' : 'chat'
}

async function fail(
  options: HandlerOptions, request: IncomingMessage, response: ServerResponse, id: string, thrown: unknown,
): Promise<void> {
  const error = toDarioError(thrown)
  if (error.code === 'client_closed' || response.destroyed) return
  // The client gets one sentence; what really happened is for the log alone (pitfall E10).
  const cause = error.code === 'internal' && error.cause instanceof Error ? ` ${error.cause.stack}` : ''
  options.log(`${id} ${describe(request)} refused: ${error.status} ${error.code}: ${error.message}${cause}`)
  if (response.headersSent) return void response.destroy()
  response.setHeader(ID_HEADER, id)
  if (error.retryAfterMs !== undefined) response.setHeader('retry-after', Math.ceil(error.retryAfterMs / 1000))
  const { status, body } = (await options.dialectOf(readDialect(request))).encodeError(error, id)
  respond(request, response, status, body)
}
