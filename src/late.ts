/**
 * What a plain relay has no use for, loaded by the first request that needs it: a file costs half a millisecond of
 * processor time at every start, and these are more than half of dario.
 * @module
 */
import type { Backend } from './backends/backend.ts'
import type { EchoDependencies } from './backends/echo.ts'
import type { ModelCatalog } from './backends/model-list.ts'
import type { Dialect } from './dialects/dialect.ts'
import type { DialectName, JsonObject } from './hub/types.ts'
import type { PlanBackend, PlanOptions } from './plan/plan.ts'

const LOADERS: Record<DialectName, () => Promise<Dialect>> = {
  anthropic: async () => (await import('./dialects/anthropic/dialect.ts')).anthropicDialect,
  chat: async () => (await import('./dialects/chat/dialect.ts')).chatDialect,
  responses: async () => (await import('./dialects/responses/dialect.ts')).responsesDialect,
}

export interface Dialects {
  load(name: DialectName): Promise<Dialect>
  /** Of those that `load` or `meet` brought. */
  get(name: DialectName): Dialect
  /** Brings what a request may meet: the client's dialect, and those of backends that do not speak it. */
  meet(client: DialectName, backends: Iterable<Pick<Backend, 'speaks'>>): Promise<void> | undefined
}

export function createDialects(): Dialects {
  const loaded: Partial<Record<DialectName, Dialect>> = {}

  async function load(name: DialectName): Promise<Dialect> {
    return loaded[name] ??= await LOADERS[name]()
  }

  return {
    load,
    get: (name) => loaded[name]!,
    meet(client, backends) {
      const missing = loaded[client] === undefined ? [client] : []
      for (const { speaks } of backends) {
        const [first] = speaks
        if (first !== undefined && loaded[first] === undefined && !speaks.includes(client)) missing.push(first)
      }
      return missing.length === 0 ? undefined : Promise.all(missing.map(load)).then(() => {})
    },
  }
}

/** Tokens of a Messages request, estimated. */
export async function estimateTokens(body: JsonObject): Promise<number> {
  return (await import('./dialects/anthropic/count.ts')).estimateTokens(body)
}

export function createLateEcho(id: string, newId: EchoDependencies['newId']): Backend {
  return createLate(id, 'echo', async () => {
    const [{ createEcho }, { estimateTokens }] = await Promise.all([import('./backends/echo.ts'), import('./dialects/anthropic/count.ts')])
    return createEcho(id, { newId, estimateTokens })
  }).backend
}

export function createLatePlan(options: PlanOptions): PlanBackend {
  let plan: PlanBackend | undefined
  const { backend, load } = createLate(options.id, 'claude-code', async () => (
    plan = (await import('./plan/plan.ts')).createPlanBackend(options)))
  return { ...backend, check: async () => (await load()).check(), limits: () => plan?.limits() }
}

/** Both built-in backends speak Anthropic's dialect and need no key. */
function createLate<Loaded extends Backend>(
  id: string, type: Loaded['type'], make: () => Promise<Loaded>,
): { backend: Backend; load: () => Promise<Loaded> } {
  let made: Promise<Loaded> | undefined
  let closed = false
  async function start(): Promise<Loaded> {
    const backend = await make()
    if (closed) await backend.close()
    return backend
  }
  const load = (): Promise<Loaded> => made ??= start()
  const backend: Backend = {
    id, type, speaks: ['anthropic'], keys: [], host: undefined,
    send: async (call, key, signal) => (await load()).send(call, key, signal),
    async close() {
      closed = true
      await (await made)?.close()
    },
  }
  return { backend, load }
}

/** The backends' model lists. */
export function createLateCatalog(backends: readonly Backend[], now: () => number): ModelCatalog {
  let made: Promise<ModelCatalog> | undefined
  const load = async (): Promise<ModelCatalog> => (await import('./backends/model-list.ts')).createModelCatalog(backends, now)
  return { read: async () => (await (made ??= load())).read() }
}
