/**
 * The composition root: puts the parts together for one proxy. The only file that knows everybody.
 * @module
 */
import { createPool } from './backends/pool.ts'
import { createBuilder } from './builder.ts'
import { createExchange } from './exchange/exchange.ts'
import { createExtras, createLateTranslation, createLatePages, dialectOf, encodeModels, estimateTokens, loadDialect, meetDialects } from './late.ts'
import { createLive } from './observe/live.ts'
import { createMetrics } from './observe/metrics.ts'
import { createGuard } from './server/guard.ts'
import { createListener } from './server/listener.ts'
import { createFetch, createMemoryConnection } from './server/memory.ts'
import { createHandler } from './server/routes.ts'
import type { Backend, BackendType, ModelInfo } from './backends/backend.ts'
import type { KeyState } from './backends/pool.ts'
import { isLoopbackHost, listSecrets, parseConfig } from './config/parse.ts'
import type { Config, ConfigInput } from './config/types.ts'
import { readVersion } from './version.ts'
import type { Incoming } from './exchange/job.ts'
import { findHop, reaches } from './exchange/router.ts'
import type { Hop } from './exchange/router.ts'
import { createIds } from './hub/ids.ts'
import type { Observer } from './hub/record.ts'
import type { BackendState, LiveOptions, PlanWindows } from './observe/live.ts'
import { createObservation } from './observe/observe.ts'
import { createRedactor } from './observe/redact.ts'
import type { DialectName } from './hub/types.ts'
import type { PlanStatus } from './plan/check.ts'
import type { PlanBackend } from './plan/plan.ts'
import type { ModelEntry } from './server/models.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** The members of the configuration file, or a parsed `config` in their place. */
export interface ProxyOptions extends ConfigInput {
  config?: Config | undefined
  /** For `env:` keys and the HTTP proxy variables; default `process.env`. */
  environment?: Readonly<Record<string, string | undefined>> | undefined
  observer?: Observer | undefined
  log?: ((line: string) => void) | undefined
  /** Folder of the usage ledger, which `dario usage` reads; default: none is kept. */
  usageFolder?: string | undefined
  /** Folder for requests and answers as they came and went, redacted; default: none. For bug reports only. */
  captureFolder?: string | undefined
  /** Milliseconds; default 15,000 of silence before a keep-alive, 120,000 until a client that stopped reading is dropped. */
  keepAlive?: number | undefined
  stalledReader?: number | undefined
}

export interface BackendStatus {
  id: string
  type: BackendType
  speaks: readonly DialectName[]
  host: string | undefined
  keys: KeyState[]
  /** How many models it lists; undefined when it was not asked or does not say. */
  models: number | undefined
  /** One sentence with a remedy. */
  problem: string | undefined
  /** Of a plan only: its program, and the limits as that last reported them. */
  plan: (PlanStatus & { windows: PlanWindows }) | undefined
}

export interface Explanation {
  lines: string[]
  chain: Hop[]
  reason: string
}

export interface Proxy {
  /** @throws DarioError `config_invalid` for an open address without an access key, `conflict` for a port in use. */
  listen(): Promise<{ url: string; port: number }>
  /** Answers without a socket; the URL's host is ignored. */
  fetch(request: Request): Promise<Response>
  /** A connection without a socket: `http.request({ createConnection: proxy.connect })`. */
  connect(): Duplex
  /** For a server of your own: `createServer(proxy.handle)`. */
  handle(request: IncomingMessage, response: ServerResponse): void
  /** Stops accepting, lets answers finish for `graceMs` (default 10,000), ends the rest in-protocol. */
  close(graceMs?: number): Promise<void>
  /** Takes a new configuration; requests under way finish with the old one. Host, port and the limits of stored answers stay. */
  update(config: Config): void
  /** @throws DarioError `model_not_found`. */
  explain(model: string): Explanation
  status(): Promise<{ backends: BackendStatus[] }>
}

/**
 * One proxy; several in one process share nothing.
 * @throws DarioError `config_invalid` with the JSON path.
 */
export function createProxy(options: ProxyOptions = {}): Proxy {
  const {
    config: parsed, environment = process.env, observer = {}, log = () => {}, keepAlive = 15_000, stalledReader = 120_000,
    usageFolder, captureFolder, ...input
  } = options
  const config = parsed ?? parseConfig(input, environment).config
  const version = readVersion()
  const now = Date.now
  const newId = createIds()
  const pool = createPool(now)
  const running: LiveOptions['running'] = () => observation.observer.running()
  const metrics = createMetrics(version, readBackends, running)
  const extras = createExtras(captureFolder === undefined ? undefined
    : { folder: captureFolder, redact: createRedactor(() => listSecrets(house.config)), now, complain: log },
  { environment, metrics, version, now, newId, log })
  const builder = createBuilder({ environment, version, now, newId, log, wrap: extras.wrap })
  let house = builder.build(config)

  const live = createLive({ now, version, backends: readBackends, running, history: usageFolder === undefined ? undefined
    : async (until) => (await import('./observe/history.ts')).readHistory(usageFolder, now(), until) })
  const observation = createObservation({
    folder: usageFolder, observers: [live, metrics, extras, observer], log, now,
    config: () => house.config,
    backendOf: (id) => house.backends.get(id),
    modelOf: (backend, model) => house.known.size === 0 ? undefined : house.known.get(`${backend}:${model}`),
    ask: () => void readCatalog().catch((error: Error) => log(`prices are not read from model lists: ${error.message}`)),
  })
  const translation = createLateTranslation({
    maxStoredAnswers: config.maxStoredAnswers,
    maxStoredBytes: config.maxStoredBytes,
    maxOutputTokens: (backend, model) => house.known.get(`${backend}:${model}`)?.maxOutputTokens,
    newId,
  })
  const exchange = createExchange({
    settings: () => house,
    dialect: dialectOf,
    gate: (backend) => house.gates.get(backend),
    ...observation, pool, translation, now, estimateTokens, keepAlive, stalledReader,
  })
  const boundToLoopback = isLoopbackHost(config.host)
  const handler = createHandler({
    exchange: { handle: enter },
    guard: createGuard(() => house.config, boundToLoopback),
    newId, now, log,
    settings: () => house.config,
    models: async (query) => encodeModels(await listModels(), query),
    health: (authorised) => ({ status: 'ok', name: 'dario', version, ...(authorised && { backends: readBackends() }) }),
    dialectOf: loadDialect,
    pages: createLatePages({ live, metrics, explain, flush: observation.observer.flush }),
  })
  const listener = createListener({
    handler, exchange, host: config.host, port: config.port, isGuarded: boundToLoopback || config.accessKeys.length > 0,
  })

  /** Looks again after loading: the configuration may have changed meanwhile. */
  function enter(incoming: Incoming, response: ServerResponse): Promise<void> {
    const loading = extras.loading() ?? meetDialects(incoming.dialect, house.backends.values())
    if (loading !== undefined) return loading.then(() => enter(incoming, response))
    extras.enter(incoming, response)
    return exchange.handle(incoming, response)
  }

  /** What the backends' lists say is known from then on: limits and prices. */
  async function readCatalog(): Promise<{ listed: Map<string, readonly ModelInfo[]>; failures: Map<string, string> }> {
    const { catalog, config, known } = house
    const { models, failures } = await catalog.read()
    const listed = new Map<string, readonly ModelInfo[]>()
    for (const [id, { models: configured }] of Object.entries(config.backends)) {
      const infos = models.get(id) ?? configured.map((model) => known.get(`${id}:${model.id}`)!)
      for (const info of infos) known.set(`${id}:${info.id}`, info)
      listed.set(id, infos)
    }
    return { listed, failures }
  }

  async function listModels(): Promise<ModelEntry[]> {
    const { config, known, router } = house
    const { listed, failures } = await readCatalog()
    for (const [backend, sentence] of failures) log(`models of ${backend} are not listed: ${sentence}`)
    const entries = [...listed].flatMap(([backend, infos]) => infos.map((info): ModelEntry => (
      { id: reaches(router, info.id, backend) ? info.id : `${backend}:${info.id}`, backend, info })))
    const names = new Set(entries.map(({ id }) => id))
    const exact = config.routes.flatMap(({ model }) => /[*?]/.test(model) ? [] : [[model, model] as const])
    for (const [id, target] of [...Object.entries(config.aliases), ...exact]) {
      const hop = names.has(id) ? undefined : findHop(router, target)
      if (hop !== undefined) entries.push({ id, backend: hop.backend, info: known.get(`${hop.backend}:${hop.model}`) })
    }
    return entries
  }

  return {
    listen: () => listener.listen(),
    fetch: createFetch(listener.server),
    connect: () => createMemoryConnection(listener.server),
    handle: handler,
    async close(graceMs) {
      await listener.close(graceMs)
      await builder.close()
      await Promise.all([observation.close(), extras.close()])
    },
    update(next) {
      house = builder.build(next)
    },
    explain,
    async status() {
      const { backends, catalog } = house
      const { models, failures } = await catalog.read()
      return {
        backends: await Promise.all([...backends.values()].map(async (backend) => {
          const { id, type, speaks, host } = backend
          const known = toPlan(backend)
          const plan = known && { ...await known.check(), windows: readWindows(backend) }
          const problem = failures.get(id) ?? (plan?.ok === false ? plan.hint : undefined)
          return { id, type, speaks, host, keys: pool.states(backend), models: models.get(id)?.length, problem, plan }
        })),
      }
    },
  }

  function explain(model: string): Explanation {
    const { chain, reasons } = house.router.resolve(model)
    const lines = [...reasons, ...chain.map(({ backend, model: there }, index) => describeHop(backend, there, index))]
    return { lines, chain, reason: reasons.join('; ') }
  }

  function readBackends(): BackendState[] {
    return [...house.backends.values()].map((backend) => ({
      id: backend.id, type: backend.type, keys: pool.states(backend), waiting: house.gates.get(backend.id)?.waiting() ?? 0,
      windows: readWindows(backend),
    }))
  }

  function describeHop(id: string, model: string, index: number): string {
    const backend = house.backends.get(id)
    const rests = backend === undefined ? [] : pool.states(backend).filter(({ state }) => state !== 'ready').map(describeKey)
    return `${index === 0 ? 'asks' : 'then'} ${id} for ${model}${rests.length === 0 ? '' : ` (${rests.join(', ')})`}`
  }
}

/** `openai#2 resting until 2026-11-22T10:00:00.000Z (rate_limited, gpt-5)` */
export function describeKey({ label, state, until, reason, family, headroom }: KeyState): string {
  const room = headroom === undefined ? '' : `, ${Math.round(headroom * 100)} % of its limit left`
  if (until === undefined) return `${label} ${state}${room}`
  return `${label} ${state} until ${new Date(until).toISOString()} (${family === undefined ? reason : `${reason}, ${family}`})${room}`
}

function toPlan(backend: Backend): PlanBackend | undefined {
  return backend.type === 'claude-code' ? backend as PlanBackend : undefined
}

function readWindows(backend: Backend): PlanWindows {
  const { fiveHour, sevenDay } = toPlan(backend)?.limits() ?? {}
  return Object.entries({ '5 hours': fiveHour, '7 days': sevenDay })
    .flatMap(([name, window]) => window?.utilization === undefined ? [] : [{ name, used: window.utilization, resetsAt: window.resetsAt && window.resetsAt * 1000 }])
}
