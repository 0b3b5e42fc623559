/**
 * What a plain relay has no use for, loaded by the first request that needs it: a file costs half a millisecond of
 * processor time at every start, and these are more than half of dario.
 * @module
 */
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import type { Backend } from './backends/backend.ts'
import type { EchoDependencies } from './backends/echo.ts'
import type { ModelCatalog } from './backends/model-list.ts'
import type { Dialect, RelayDialect } from './dialects/dialect.ts'
import type { Translation, TranslationOptions, LoadTranslation } from './exchange/translation.ts'
import type { Observer } from './hub/record.ts'
import type { DialectName, JsonObject } from './hub/types.ts'
import type { Capture, CaptureOptions } from './observe/capture.ts'
import type { Page, PagePath, PagesOptions } from './observe/dashboard.ts'
import type { OtlpOptions } from './observe/otlp.ts'
import type { PlanBackend, PlanOptions } from './plan/plan.ts'
import type { ModelEntry, ModelQuery } from './server/models.ts'

/** A part, once it is loaded. */
interface Late<Part> {
  now: Part | undefined
  /** Once; after a failure the next call tries again. */
  load(): Promise<Part>
}

/** More descriptors than the largest part needs. */
const ENOUGH_FILES = 32

function createLate<Part>(make: () => Promise<Part>): Late<Part> {
  let loading: Promise<Part> | undefined
  async function start(): Promise<Part> {
    spareFiles()
    return late.now = await make()
  }
  const late: Late<Part> = {
    now: undefined,
    load: () => loading ??= start().catch((error: unknown) => {
      loading = undefined
      throw error
    }),
  }
  return late
}

/** @throws Error EMFILE, before `import` does: Node 20 and 22 would not read that file again in this process. */
function spareFiles(): void {
  const taken: number[] = []
  try {
    while (taken.length < ENOUGH_FILES) taken.push(openSync(devNull, 'r'))
  } finally {
    for (const file of taken) closeSync(file)
  }
}

const DIALECTS: Record<DialectName, Late<Dialect>> = {
  anthropic: createLate(async () => (await import('./dialects/anthropic/dialect.ts')).anthropicDialect),
  chat: createLate(async () => (await import('./dialects/chat/dialect.ts')).chatDialect),
  responses: createLate(async () => (await import('./dialects/responses/dialect.ts')).responsesDialect),
}
const RELAYS: Record<DialectName, Late<RelayDialect>> = {
  ...DIALECTS,
  anthropic: createLate(async () => (await import('./dialects/anthropic/relay.ts')).anthropicRelay),
}
const COUNT = createLate(() => import('./dialects/anthropic/count.ts'))
const MODELS = createLate(() => import('./server/models.ts'))

export function loadDialect(name: DialectName): Promise<RelayDialect> {
  return RELAYS[name].load()
}

/** Of those that `loadDialect` or `meetDialects` brought. */
export function dialectOf(name: DialectName): RelayDialect {
  return RELAYS[name].now!
}

/** Brings what a request may meet: the client's dialect, and those of backends that do not speak it. */
export function meetDialects(client: DialectName, backends: Iterable<Pick<Backend, 'speaks'>>): Promise<unknown> | undefined {
  const missing = RELAYS[client].now === undefined ? [client] : []
  for (const { speaks } of backends) {
    const [first] = speaks
    if (first !== undefined && RELAYS[first].now === undefined && !speaks.includes(client)) missing.push(first)
  }
  return missing.length === 0 ? undefined : Promise.all(missing.map(loadDialect))
}

export function createLateTranslation(options: TranslationOptions): LoadTranslation {
  const translation = createLate(async () => (
    (await import('./exchange/translation.ts')).createTranslation(options, (name) => DIALECTS[name].now!)))
  async function load(names: DialectName[]): Promise<Translation> {
    const [made] = await Promise.all([translation.load(), ...names.map((name) => DIALECTS[name].load())])
    return made
  }
  return (...names) => names.every((name) => DIALECTS[name].now !== undefined) && translation.now || load(names)
}

/** Tokens of a Messages request, estimated. */
export async function estimateTokens(body: JsonObject): Promise<number> {
  return (await COUNT.load()).estimateTokens(body)
}

export async function encodeModels(entries: readonly ModelEntry[], query: ModelQuery): Promise<JsonObject> {
  return (await MODELS.load()).encodeModels(entries, query)
}

export function createLatePages(options: PagesOptions): Record<PagePath, Page> {
  const pages = createLate(async () => (await import('./observe/dashboard.ts')).createPages(options))
  const toPage = (path: PagePath): Page => ({
    async serve(request, response, isAuthorised) {
      const serve = (await pages.load())[path]
      if (!response.destroyed) await serve(request, response, isAuthorised) // its 'close' would not be told a second time
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
  loading(): Promise<unknown> | undefined
  /** Meets a request before it is answered. */
  enter: Capture['client']
  /** Stands in front of each backend. */
  wrap(backend: Backend): Backend
  close(): Promise<void>
}

export function createExtras(captureOptions: CaptureOptions | undefined, otlpOptions: OtlpOptions): Extras {
  const isTraced = Boolean(otlpOptions.environment['OTEL_EXPORTER_OTLP_ENDPOINT'])
  const capture = captureOptions && createLate(async () => (await import('./observe/capture.ts')).createCapture(captureOptions))
  const otlp = isTraced ? createLate(async () => (await import('./observe/otlp.ts')).createOtlp(otlpOptions)) : undefined
  const wanted = [capture, otlp].filter((part) => part !== undefined)
  const loading = (): Promise<unknown> | undefined =>
    wanted.every(({ now }) => now !== undefined) ? undefined : Promise.all(wanted.map((part) => part.load()))
  loading()?.catch(() => {}) // every request tells it

  return {
    loading,
    enter(incoming, response) {
      capture?.now?.client(incoming, response)
      otlp?.now?.enter(incoming)
    },
    wrap(backend) {
      if (capture === undefined) return backend
      return { ...backend, send: async (...call) => (await capture.load()).backend(backend).send(...call) }
    },
    isPatient: true,
    ...(isTraced && {
      attempt: (record, attempt) => otlp?.now?.attempt?.(record, attempt),
      end: (record) => otlp?.now?.end?.(record),
    } satisfies Observer),
    async close() {
      await loading()?.catch(() => {})
      await Promise.all([otlp?.now?.close(), capture?.now?.close()])
    },
  }
}

export function createLateEcho(id: string, newId: EchoDependencies['newId']): Backend {
  return toBackend(id, 'echo', createLate(async () => {
    const [{ createEcho }, { estimateTokens }] = await Promise.all([import('./backends/echo.ts'), COUNT.load()])
    return createEcho(id, { newId, estimateTokens })
  }))
}

export function createLatePlan(options: PlanOptions): PlanBackend {
  const plan = createLate(async () => (await import('./plan/plan.ts')).createPlanBackend(options))
  return {
    ...toBackend(options.id, 'claude-code', plan),
    check: async () => (await plan.load()).check(),
    limits: () => plan.now?.limits(),
  }
}

/** Both built-in backends speak Anthropic's dialect and need no key. */
function toBackend(id: string, type: Backend['type'], late: Late<Backend>): Backend {
  let isClosed = false
  return {
    id, type, speaks: ['anthropic'], keys: [], host: undefined,
    async send(call, key, signal) {
      const backend = await late.load()
      if (isClosed) await backend.close() // it was not there yet when all were closed
      return backend.send(call, key, signal)
    },
    async close() {
      isClosed = true
      await late.now?.close()
    },
  }
}

/** The backends' model lists. */
export function createLateCatalog(backends: readonly Backend[], now: () => number): ModelCatalog {
  const catalog = createLate(async () => (await import('./backends/model-list.ts')).createModelCatalog(backends, now))
  return { read: async () => (await catalog.load()).read() }
}
