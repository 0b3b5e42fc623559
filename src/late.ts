/**
 * What a plain relay has no use for, loaded by the first request that needs it: a file costs half a millisecond of
 * processor time at every start, and these are more than half of dario.
 * @module
 */
import { closeSync, openSync } from 'node:fs'
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

/** More descriptors than the largest part needs. */
const ENOUGH_FILES = 48

const DIALECTS: Record<DialectName, () => Promise<Dialect>> = {
  anthropic: keep(async () => (await import('./dialects/anthropic/dialect.ts')).anthropicDialect),
  chat: keep(async () => (await import('./dialects/chat/dialect.ts')).chatDialect),
  responses: keep(async () => (await import('./dialects/responses/dialect.ts')).responsesDialect),
}

const RELAYS: Record<DialectName, () => Promise<RelayDialect>> = {
  ...DIALECTS,
  anthropic: keep(async () => (await import('./dialects/anthropic/relay.ts')).anthropicRelay),
}

/** What `load` brings, for ever; after a failure the next call tries again. */
function keep<Loaded>(load: () => Promise<Loaded>): () => Promise<Loaded> {
  let loaded: Promise<Loaded> | undefined
  async function start(): Promise<Loaded> {
    spareFiles()
    return await load()
  }
  return () => loaded ??= start().catch((error: unknown) => {
    loaded = undefined
    throw error
  })
}

/** @throws Error EMFILE, before `import` does: Node 20 and 22 would not read that file again in this process. */
function spareFiles(): void {
  const taken: number[] = []
  try {
    while (taken.length < ENOUGH_FILES) taken.push(openSync(process.execPath, 'r'))
  } finally {
    for (const file of taken) closeSync(file)
  }
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
  const make = keep(async () => (await import('./exchange/translation.ts')).createTranslation(options, (name) => loaded[name]!))
  let made: Translation | undefined
  async function load(names: DialectName[]): Promise<Translation> {
    for (const name of names) loaded[name] ??= await DIALECTS[name]()
    return made = await make()
  }
  return (...names) => made !== undefined && names.every((name) => loaded[name] !== undefined) ? made : load(names)
}

const loadCount = keep(() => import('./dialects/anthropic/count.ts'))
const loadModels = keep(() => import('./server/models.ts'))

/** Tokens of a Messages request, estimated. */
export async function estimateTokens(body: JsonObject): Promise<number> {
  return (await loadCount()).estimateTokens(body)
}

export async function encodeModels(entries: readonly ModelEntry[], query: ModelQuery): Promise<JsonObject> {
  return (await loadModels()).encodeModels(entries, query)
}

export function createLatePages(options: PagesOptions): Record<PagePath, Page> {
  const load = keep(async () => (await import('./observe/dashboard.ts')).createPages(options))
  const toPage = (path: PagePath): Page => ({
    async serve(request, response) {
      const pages = await load()
      if (!response.destroyed) await pages[path](request, response) // its 'close' would not be told a second time
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
  const isTraced = Boolean(otlpOptions.environment['OTEL_EXPORTER_OTLP_ENDPOINT'])
  let isMissing = captureOptions !== undefined || isTraced
  const load = keep(async () => {
    if (captureOptions !== undefined) capture ??= (await import('./observe/capture.ts')).createCapture(captureOptions)
    if (isTraced) otlp = (await import('./observe/otlp.ts')).createOtlp(otlpOptions)
    isMissing = false
  })
  const loading = (): Promise<void> | undefined => isMissing ? load() : undefined
  loading()?.catch(() => {}) // every request tells it

  return {
    loading,
    enter(incoming, response) {
      capture?.client(incoming, response)
      otlp?.enter(incoming)
    },
    wrap(backend) {
      if (captureOptions === undefined) return backend
      return {
        ...backend,
        async send(...call) {
          await loading()
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
      await loading()?.catch(() => {})
      await Promise.all([otlp?.close(), capture?.close()])
    },
  }
}

export function createLateEcho(id: string, newId: EchoDependencies['newId']): Backend {
  return createLate(id, 'echo', async () => {
    const { createEcho } = await import('./backends/echo.ts')
    const { estimateTokens } = await loadCount()
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
  let made: Loaded | undefined
  let closed = false
  const load = keep(async () => {
    made = await make()
    if (closed) await made.close()
    return made
  })
  const backend: Backend = {
    id, type, speaks: ['anthropic'], keys: [], host: undefined,
    send: async (call, key, signal) => (await load()).send(call, key, signal),
    async close() {
      closed = true
      await made?.close()
    },
  }
  return { backend, load }
}

/** The backends' model lists. */
export function createLateCatalog(backends: readonly Backend[], now: () => number): ModelCatalog {
  const load = keep(async () => (await import('./backends/model-list.ts')).createModelCatalog(backends, now))
  return { read: async () => (await load()).read() }
}
