/**
 * What is on this machine, asked for real: local servers, a backend's dialects, the `claude` program. The effects behind
 * discovery and the command line.
 * @module
 */
import { createHttpBackend } from './backends/http.ts'
import { probeDialects } from './backends/probe.ts'
import { createBackendConfig } from './config/backend.ts'
import type { Environment } from './config/values.ts'
import { discover } from './config/discovery.ts'
import type { Discovered } from './config/discovery.ts'
import type { BackendConfig } from './config/types.ts'
import type { DialectName } from './hub/types.ts'
import { createCheck } from './plan/check.ts'
import type { PlanStatus } from './plan/check.ts'
import { toEnvironment } from './plan/program.ts'
import { readVersion } from './version.ts'

export interface ServerAddress {
  type: 'anthropic' | 'openai'
  baseUrl: string
  /** A literal, `env:NAME` or `file:PATH`. */
  key?: string | undefined
}

/** What a server speaks, best first; undefined when it does not answer in time, refuses the key or has no known path. */
export async function askServer(
  { type, baseUrl, key }: ServerAddress, environment: Environment, ms: number,
): Promise<DialectName[] | undefined> {
  const settings = { type, baseUrl, ...(key === undefined ? {} : { key }) }
  const config = createBackendConfig('probe', settings, environment)
  const backend = createHttpBackend({ ...config, id: 'probe', type, baseUrl, version: readVersion(), environment })
  try {
    const spoken = await probeDialects(backend, config.keys[0], AbortSignal.timeout(ms))
    return spoken.length === 0 ? undefined : spoken
  } catch {
    return undefined
  } finally {
    await backend.close()
  }
}

export function surveyMachine(environment: Environment, port: number): Promise<Discovered> {
  return discover({
    environment, port,
    findClaude: async () => {
      const { program, ok } = await askClaude(environment)
      return ok ? program : undefined
    },
    probe: (baseUrl, ms) => askServer({ type: 'openai', baseUrl }, environment, ms),
  })
}

/** The user's own `claude` program: found, new enough, logged in. Its own commands are asked; nothing of its is read. */
export function askClaude(environment: Environment, config: Pick<BackendConfig, 'command' | 'configDir' | 'env'> = { env: {} }): Promise<PlanStatus> {
  const { command, configDir, env } = config
  return createCheck({ command, environment, env: toEnvironment(environment, configDir, env), now: Date.now })()
}
