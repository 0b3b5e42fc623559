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

/**
 * What a server speaks, best first; undefined when it does not answer in time, refuses the key or has no known path.
 * @param key a literal, `env:NAME` or `file:PATH`
 */
export async function askServer(
  baseUrl: string, key: string | undefined, environment: Environment, ms: number,
): Promise<DialectName[] | undefined> {
  const type = 'openai'
  const config = createBackendConfig('probe', { type, baseUrl, ...(key && { key }) }, environment)
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
    probe: (baseUrl, ms) => askServer(baseUrl, undefined, environment, ms),
  })
}

/** The user's own `claude` program: found, new enough, logged in. Its own commands are asked; nothing of its is read. */
export function askClaude(environment: Environment, config: Pick<BackendConfig, 'command' | 'configDir' | 'env'> = { env: {} }): Promise<PlanStatus> {
  const { command, configDir, env } = config
  return createCheck({ command, environment, env: toEnvironment(environment, configDir, env), now: Date.now })()
}
