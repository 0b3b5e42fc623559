/**
 * What encoders of requests have in common, whatever API they write.
 * @module
 */
import type { CacheHint, JsonObject, Tool, Warning } from '../hub/types.ts'
import type { Target } from './dialect.ts'
import { createToolNames } from './names.ts'
import type { ToolNames } from './names.ts'
import { defined } from './read.ts'

/** One request on its way into a dialect: what every step needs. */
export interface Encoding {
  target: Target
  names: ToolNames
  warnings: Warning[]
  /** Says what could not be carried, and gives the nothing that goes in its place. */
  drop: (path: string, reason: string) => undefined
}

export function createEncoding(target: Target, maxNameChars?: number): Encoding {
  const warnings: Warning[] = []
  const drop = (path: string, reason: string): undefined => void warnings.push({ path, reason })
  return { target, names: createToolNames(maxNameChars), warnings, drop }
}

export function encodeCache(cache: CacheHint | undefined, { repairs }: Target): JsonObject {
  if (cache === undefined || repairs.has('no_cache_marks')) return {}
  return { cache_control: defined({ type: 'ephemeral', ttl: repairs.has('no_cache_ttl') ? undefined : cache.ttl }) }
}

/** The name that is sent for a tool which the client knows by this one; undefined when it offers none. */
export function toWireName(name: string, tools: readonly Tool[], { names }: Encoding): string | undefined {
  const tool = tools.find((one) => 'name' in one && one.name === name)
  return tool !== undefined && 'name' in tool ? names.toWire(tool) : undefined
}
