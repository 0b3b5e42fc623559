/**
 * What a configuration becomes: its backends, their gates, the router and the model lists.
 * @module
 */
import { createGate } from './backends/gate.ts'
import { createHttpBackend } from './backends/http.ts'
import { createRouter } from './exchange/router.ts'
import { createLateCatalog, createLateEcho, createLatePlan } from './late.ts'
import type { Backend, ModelInfo } from './backends/backend.ts'
import type { Gate } from './backends/gate.ts'
import type { ModelCatalog } from './backends/model-list.ts'
import type { BackendConfig, Config } from './config/types.ts'
import type { Router } from './exchange/router.ts'

/** Replaced whole when the configuration changes; a request keeps the one that it began with. */
export interface House {
  config: Config
  backends: ReadonlyMap<string, Backend>
  gates: ReadonlyMap<string, Gate>
  router: Router
  catalog: ModelCatalog
  /** What is known of `backend:model`. */
  known: Map<string, ModelInfo>
}

export interface BuilderTools {
  environment: Readonly<Record<string, string | undefined>>
  version: string
  now: () => number
  newId: (prefix: string) => string
  log: (line: string) => void
  /** Stands in front of each backend. */
  wrap: (backend: Backend) => Backend
}

/** `close` ends everything that was ever built. */
export function createBuilder(
  { environment, version, now, newId, log, wrap }: BuilderTools,
): { build(config: Config): House; close(): Promise<void> } {
  const made = new Map<string, Backend>()

  /** An unchanged backend stays: its sockets, its processes and its keys' states are worth keeping. */
  function keep(id: string, config: BackendConfig): Backend {
    const name = `${id} ${JSON.stringify(config)}`
    const backend = made.get(name) ?? wrap(create(id, config))
    made.set(name, backend)
    return backend
  }

  function create(id: string, config: BackendConfig): Backend {
    const { type, baseUrl = 'https://api.anthropic.com' } = config
    switch (type) {
      case 'echo': return createLateEcho(id, newId)
      case 'claude-code': return createLatePlan({ ...config, id, idleMs: config.idle, environment, now, newId, log, version })
      case 'anthropic':
      case 'openai': return createHttpBackend({ ...config, id, type, baseUrl, version, environment })
    }
  }

  return {
    build(config) {
      const entries = Object.entries(config.backends)
      const backends = new Map(entries.map(([id, settings]) => [id, keep(id, settings)]))
      const gates = new Map(entries.flatMap(([id, { maxConcurrent, maxQueue }]) =>
        maxConcurrent === undefined ? [] : [[id, createGate(id, maxConcurrent, maxQueue)] as const]))
      const table = [...backends.values()].map(({ id, type, host }) => ({ id, type, host }))
      return {
        config, backends, gates,
        router: createRouter({ backends: table, routes: config.routes, aliases: config.aliases }),
        catalog: createLateCatalog([...backends.values()].filter(({ id }) => config.backends[id]?.models.length === 0), now),
        known: new Map(entries.flatMap(([id, { models }]) => models.map((model) => [`${id}:${model.id}`, toInfo(model)] as const))),
      }
    },
    async close() {
      await Promise.all([...made.values()].map((backend) => backend.close()))
    },
  }
}

function toInfo({ id, maxInputTokens, maxOutputTokens, price }: BackendConfig['models'][number]): ModelInfo {
  const perToken = (dollars: number | undefined): number | undefined => dollars === undefined ? undefined : dollars / 1e6
  return {
    id, maxInputTokens, maxOutputTokens,
    price: price && { input: price.input / 1e6, output: price.output / 1e6, cacheRead: perToken(price.cacheRead), cacheWrite: perToken(price.cacheWrite) },
  }
}
