/**
 * What is there without any configuration: keys in the environment, a `claude` program that is logged in, local servers.
 * @module
 */
import { createBackendConfig } from './backend.ts'
import { readBaseUrl } from './values.ts'
import type { Environment } from './values.ts'
import type { BackendConfig } from './types.ts'
import type { DialectName } from '../hub/types.ts'
import { KNOWN_BACKENDS } from './known.ts'

export interface DiscoverOptions {
  environment: Environment
  /** The program's path when it is there and logged in. */
  findClaude: () => Promise<string | undefined>
  /** What a server at this address speaks; undefined when nothing answers within `timeoutMs`. */
  probe: (baseUrl: string, timeoutMs: number) => Promise<DialectName[] | undefined>
  /** Where we listen ourselves: an address in the environment that means us is not a backend. */
  port: number
}

export interface Discovered {
  /** In order of preference: a plan before a metered key, since it is paid for already. */
  backends: Record<string, BackendConfig>
  /** For people: `openai (OPENAI_API_KEY)`. */
  found: string[]
  missing: string[]
}

/** What `dario env` tells tools to send where they insist on a key; never a key of an upstream. */
export const PLACEHOLDER_KEY = 'dario'
const PROBE_MS = 300

export async function discover({ environment, findClaude, probe, port }: DiscoverOptions): Promise<Discovered> {
  const backends: Record<string, BackendConfig> = Object.create(null)
  const found: string[] = []
  const missing: string[] = []
  function note(name: string, how: string, settings: Parameters<typeof createBackendConfig>[1] | undefined): void {
    if (settings !== undefined) backends[name] = createBackendConfig(name, settings, environment)
    ;(settings === undefined ? missing : found).push(`${name} (${how})`)
  }
  const entries = Object.entries(KNOWN_BACKENDS)
  const [claude, ...spoken] = await Promise.all([
    findClaude().catch(() => undefined),
    ...entries.map(([, { variable, baseUrl }]) => variable === undefined ? probe(baseUrl, PROBE_MS).catch(() => undefined) : undefined),
  ])
  note('plan', 'claude program, logged in', claude === undefined ? undefined : { type: 'claude-code' })
  for (const [index, [name, { type, baseUrl, speaks, variable, address = '' }]] of entries.entries()) {
    if (variable === undefined) {
      const said = spoken[index]
      note(name, new URL(baseUrl).host, said && { type, baseUrl, speaks: said })
    } else {
      const key = environment[variable]?.trim()
      const given = environment[address]?.trim()
      note(name, variable, !key || key === PLACEHOLDER_KEY ? undefined : {
        type, key: `env:${variable}`, ...(!given || isOurselves(given, port) ? { baseUrl, speaks } : { baseUrl: readBaseUrl(given, address) }),
      })
    }
  }
  note('echo', 'built in', { type: 'echo' })
  return { backends, found, missing }
}

export function isOurselves(baseUrl: string, port: number): boolean {
  if (!URL.canParse(baseUrl)) return false
  const url = new URL(baseUrl)
  return /^(?:localhost|127(?:\.\d+){3}|\[::1\]|0\.0\.0\.0)$/.test(url.hostname) && url.port === String(port)
}
