/**
 * One entry of `backends`: validated, with the defaults of its type and host.
 * @module
 */
import type { DialectName } from '../hub/types.ts'
import { KNOWN_BACKENDS, hostSpeaks } from './known.ts'
import type { BackendConfig, ModelConfig } from './types.ts'
import {
  MAX_TIMER, createSecretReader, fail, listOf, numberFrom, oneOf, optional, readAny, readBaseUrl, readText, recordOf, shape,
  withDefault,
} from './values.ts'
import type { Environment, Read, ReadSecret } from './values.ts'

/** Backend names become prefixes of model names, labels and headers (pitfall Z11). */
export const BACKEND_NAME: RegExp = /^[a-z0-9][a-z0-9_-]*$/
export const readType: Read<BackendConfig['type']> = oneOf(['anthropic', 'openai', 'claude-code', 'echo'])
const DIALECTS = ['anthropic', 'chat', 'responses'] as const
export const readDialects: Read<DialectName[]> = listOf(oneOf(DIALECTS))

const tokens = numberFrom(1, 1e9)
const dollars = numberFrom(0, 1e6, false)
const timer = numberFrom(1, MAX_TIMER)
const readWeightedKey = shape({ key: readAny, weight: withDefault(1, numberFrom(0.001, 1000, false)) })
const readFullModel = shape({
  id: readText,
  maxInputTokens: optional(tokens),
  maxOutputTokens: optional(tokens),
  price: optional(shape({ input: dollars, output: dollars, cacheRead: optional(dollars), cacheWrite: optional(dollars) })),
})

function readModel(value: unknown, path: string): ModelConfig {
  return typeof value === 'string' ? { id: readText(value, path) } : readFullModel(value, path)
}

function readHeader(value: unknown, path: string, name: string): string {
  const text = readText(value, path)
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(name) && !/[^\t\x20-\x7e]/.test(text)) return text
  return fail(path, 'is not a valid HTTP header')
}

export function readBackend(value: unknown, path: string, id: string, secret: ReadSecret): BackendConfig {
  if (!BACKEND_NAME.test(id)) fail(path, 'a backend name has lower-case letters, digits, - and _, and begins with a letter or digit')
  const given = shape({
    type: readType,
    baseUrl: optional(readBaseUrl),
    keys: withDefault([], listOf((item, at) => {
      const { key, weight } = typeof item === 'string' ? { key: item, weight: 1 } : readWeightedKey(item, at)
      return { value: secret(readText(key, at), at), weight }
    })),
    speaks: optional(readDialects),
    timeouts: withDefault({}, shape({
      connect: withDefault(10_000, timer), firstByte: withDefault(600_000, timer), silence: withDefault(300_000, timer),
    })),
    headers: withDefault({}, recordOf(readHeader)),
    dropBetas: withDefault([], listOf(readText)),
    models: withDefault([], listOf(readModel)),
    maxConcurrent: optional(numberFrom(1, 100_000)),
    maxQueue: withDefault(64, numberFrom(0, 100_000)),
    command: optional(readText),
    configDir: optional(readText),
    env: withDefault({}, recordOf((text, at) => (typeof text === 'string' ? text : fail(at, 'must be a text')))),
    idle: withDefault(600_000, timer),
    maxProcesses: withDefault(10, numberFrom(1, 1000)),
    warm: withDefault(false, oneOf([true, false])),
  })(value, path)
  // By its name first: a key of Groq's is nothing for OpenAI.
  const known = [id, given.type].map((name) => KNOWN_BACKENDS[name]).find((backend) => backend?.type === given.type)
  const baseUrl = given.baseUrl ?? known?.baseUrl
  const speaks = given.speaks ?? (given.type === 'openai' ? hostSpeaks(baseUrl) : ['anthropic'])
  if (speaks.length === 0) fail(`${path}.speaks`, `must name at least one of ${DIALECTS.join(', ')}`)
  return {
    ...given,
    baseUrl,
    // The number is the place in the list, so that it stays when a variable is not set.
    keys: given.keys.flatMap(({ value, weight }, index) => (value === undefined ? [] : [{ label: `${id}#${index + 1}`, value, weight }])),
    speaks: [...new Set(speaks)],
    discovered: false,
  }
}

/** A backend with the defaults of its type; for what was found rather than written. */
export function createBackendConfig(
  id: string,
  settings: { type: BackendConfig['type']; baseUrl?: string; speaks?: DialectName[]; key?: string },
  environment: Environment = {},
): BackendConfig {
  const { key, ...rest } = settings
  const given = { ...rest, keys: key === undefined ? [] : [key] }
  return { ...readBackend(given, `backends.${id}`, id, createSecretReader(environment, [])), discovered: true }
}
