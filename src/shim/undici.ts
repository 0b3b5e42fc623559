/**
 * The npm package `undici`, of which a program may have several versions beside the one in Node. Its dispatchers ask each
 * request for its way here, so that one with an agent of its own is answered too; the global dispatcher would miss those.
 * https://undici.nodejs.org/#/docs/api/Dispatcher
 * @module
 */
import Module, { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'

interface Options { origin?: string | URL; path?: string; upgrade?: unknown; [OURS]?: true }
interface Dispatcher { dispatch(options: Options, handler: unknown): boolean }
interface Connect { protocol: string; hostname: string; port?: string }
type Ready = (error: Error | null, socket?: Duplex) => void
interface Undici { Agent: { new (options: { connect(to: Connect, ready: Ready): void }): Dispatcher; prototype: Dispatcher } }
type Load = (this: unknown, request: string, ...rest: unknown[]) => unknown

const GLOBALS = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')]
const OURS = Symbol('a request that has been seen')
const NAME = /(^|[\\/])undici([\\/]index\.js)?$/

/** Until the returned function is called: what `isOurs` goes over `open`, in what is loaded and in what will be. */
export function watchUndici(isOurs: (address: string) => boolean, open: (url: URL) => Promise<Duplex>): () => void {
  const undo: (() => void)[] = []
  const seen = new Set<unknown>()
  const loader = Module as unknown as { _load: Load }
  const before = loader._load
  function load(this: unknown, request: string, ...rest: unknown[]): unknown {
    const exports = before.call(this, request, ...rest)
    if (NAME.test(request)) adopt(exports)
    return exports
  }

  function adopt(exports: unknown): void {
    if (seen.has(exports) || !isUndici(exports)) return
    seen.add(exports)
    let agent: Dispatcher | undefined
    const create = (): Dispatcher => agent ??= new exports.Agent({ connect: ({ protocol, hostname, port }, ready) => {
      open(new URL(`${protocol}//${hostname}${port ? `:${port}` : ''}`)).then((socket) => ready(null, socket), ready)
    } })
    // The global dispatcher may be of another version: of Node's own, when something has fetched before.
    const shared = GLOBALS.map((symbol) => (globalThis as unknown as Record<symbol, Dispatcher | undefined>)[symbol])
    for (const one of [exports.Agent.prototype, ...shared]) if (one !== undefined) divert(one, create)
  }

  function divert(dispatcher: Dispatcher, create: () => Dispatcher): void {
    let base = dispatcher // up to what all dispatchers extend
    while (!Object.hasOwn(base, 'dispatch')) base = Object.getPrototypeOf(base) as Dispatcher
    if (seen.has(base)) return
    seen.add(base)
    const { dispatch } = base
    const ours: Dispatcher['dispatch'] = base.dispatch = function (options, handler) {
      const { origin = originOf(this), path = '', upgrade } = options ?? {}
      if (options?.[OURS] || origin == null || upgrade || !isOurs(origin.toString().replace(/\/$/, '') + path)) {
        return dispatch.call(this, options, handler)
      }
      return create().dispatch({ ...options, origin, [OURS]: true }, handler)
    }
    undo.push(() => {
      if (base.dispatch === ours) base.dispatch = dispatch
    })
  }

  loader._load = load
  // What was there before an embedder installed the shim.
  for (const [file, module] of Object.entries(createRequire(import.meta.url).cache)) if (NAME.test(file)) adopt(module?.exports)
  return () => {
    if (loader._load === load) loader._load = before
    for (const one of undo) one()
  }
}

/** Of a pool or a client, which have one host and say it by a symbol of their own. */
function originOf(dispatcher: Dispatcher): string | undefined {
  const symbol = Object.getOwnPropertySymbols(dispatcher).find(({ description }) => description === 'url')
  const url = symbol === undefined ? undefined : (dispatcher as unknown as Record<symbol, unknown>)[symbol]
  return url instanceof URL ? url.origin : undefined
}

function isUndici(exports: unknown): exports is Undici {
  const { Agent } = (exports ?? {}) as Partial<Undici>
  return typeof Agent === 'function' && typeof Agent.prototype?.dispatch === 'function'
}
