/**
 * What a plain relay has no use for, loaded by the first request that needs it: a file costs half a millisecond of
 * processor time at every start, and these are more than half of dario.
 * @module
 */
import type { Backend } from './backends/backend.ts'
import type { EchoDependencies } from './backends/echo.ts'
import type { ModelCatalog } from './backends/model-list.ts'
import type { Dialect, RelayDialect } from './dialects/dialect.ts'
import type { Translation, TranslationOptions, LoadTranslation } from './exchange/translation.ts'
import type { Observer } from './hub/record.ts'
import type { DialectName, JsonObject } from './hub/types.ts'
import type { Capture, CaptureOptions } from './observe/capture.ts'
import type { Page, PagePath, PagesOptions } from './observe/dashboard.ts'
import type { Otlp, OtlpOptions } from './observe/otlp.ts'
import type { PlanBackend, PlanOptions } from './plan/plan.ts'
import type { ModelEntry, ModelQuery } from './server/models.ts'

const DIALECTS: Record<DialectName, () => Promise<Dialect>> = {
  anthropic: async () => (await import('./dialects/anthropic/dialect.ts')).anthropicDialect,
  chat: async () => (await import('./dialects/chat/dialect.ts')).chatDialect,
  responses: async () => (await import('./dialects/responses/dialect.ts')).responsesDialect,
}

const RELAYS: Record<DialectName, () => Promise<RelayDialect>> = {
  ...DIALECTS,
  anthropic: async () => (await import('./dialects/anthropic/relay.ts')).anthropicRelay,
}

export interface Dialects {
  load(name: DialectName): Promise<RelayDialect>
  /** Of those that `load` or `meet` brought. */
  get(name: DialectName): RelayDialect
  /** Brings what a request may meet: the client's dialect, and those of backends that do not speak it. */
  meet(client: DialectName, backends: Iterable<Pick<Backend, 'speaks'>>): Promise<void> | undefined
}

export function createDialects(): Dialects {
  const loaded: Partial<Record<DialectName, RelayDialect>> = {}

  async function load(name: DialectName): Promise<RelayDialect> {
    return loaded[name] ??= await RELAYS[name]()
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

export function createLateTranslation(options: TranslationOptions): LoadTranslation {
  const loaded: Partial<Record<DialectName, Dialect>> = {}
  let made: Translation | undefined
  async function load(names: DialectName[]): Promise<Translation> {
    const [{ createTranslation }] = await Promise.all([
      import('./exchange/translation.ts'),
      ...names.map(async (name) => void (loaded[name] ??= await DIALECTS[name]())),
    ])
    return made ??= createTranslation(options, (name) => loaded[name]!)
  }
  return (...names) => made !== undefined && names.every((name) => loaded[name] !== undefined) ? made : load(names)
}

/** Tokens of a Messages request, estimated. */
export async function estimateTokens(body: JsonObject): Promise<number> {
  return (await import('./dialects/anthropic/count.ts')).estimateTokens(body)
}

export async function encodeModels(entries: readonly ModelEntry[], query: ModelQuery): Promise<JsonObject> {
  return (await import('./server/models.ts')).encodeModels(entries, query)
}

export function createLatePages(options: PagesOptions): Record<PagePath, Page> {
  let made: Promise<Record<PagePath, Page['serve']>> | undefined
  const load = async (): Promise<Record<PagePath, Page['serve']>> => (await import('./observe/dashboard.ts')).createPages(options)
  const toPage = (path: PagePath): Page => ({
    async serve(request, response, isAuthorised) {
      const pages = await (made ??= load())
      if (!response.destroyed) await pages[path](request, response, isAuthorised) // its 'close' would not be told a second time
    },
  })
  return {
    // Open although everything behind it asks for the key (pitfall Z8): it is the same file for everybody, holds no
    // data, and a browser has no other way to ask its user for a key than a page.
    '/': { ...toPage('/'), open: true },
    '/events': toPage('/events'), '/explain': toPage('/explain'), '/metrics': toPage('/metrics'),
  }
}

/** What only an option or a variable asks for; no request is answered before it is there, so that none is missed. */
export interface Extras extends Pick<Observer, 'isPatient' | 'attempt' | 'end'> {
  /** undefined: there is nothing to wait for. */
  loading(): Promise<void> | undefined
  /** Meets a request before it is answered. */
  enter: Capture['client']
  /** Stands in front of each backend. */
  wrap(backend: Backend): Backend
  close(): Promise<void>
}

export function createExtras(captureOptions: CaptureOptions | undefined, otlpOptions: OtlpOptions): Extras {
  let capture: Capture | undefined, otlp: Otlp | undefined
  async function load(): Promise<void> {
    if (captureOptions !== undefined) capture = (await import('./observe/capture.ts')).createCapture(captureOptions)
    if (isTraced) otlp = (await import('./observe/otlp.ts')).createOtlp(otlpOptions)
    loading = undefined
  }
  const isTraced = Boolean(otlpOptions.environment['OTEL_EXPORTER_OTLP_ENDPOINT'])
  let loading = captureOptions === undefined && !isTraced ? undefined : load()
  loading?.catch(() => {}) // every request tells it

  return {
    loading: () => loading,
    enter(incoming, response) {
      capture?.client(incoming, response)
      otlp?.enter(incoming)
    },
    wrap(backend) {
      if (captureOptions === undefined) return backend
      return {
        ...backend,
        async send(...call) {
          await loading
          return capture!.backend(backend).send(...call)
        },
      }
    },
    isPatient: true,
    ...(isTraced && {
      attempt: (record, attempt) => otlp?.attempt?.(record, attempt),
      end: (record) => otlp?.end?.(record),
    } satisfies Observer),
    async close() {
      await loading?.catch(() => {})
      await Promise.all([otlp?.close(), capture?.close()])
    },
  }
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
      await (await made?.catch(() => undefined))?.close() // why it could not be loaded was told to those who asked for it
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
