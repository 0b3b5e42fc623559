/**
 * One entry of `backends`: validated, with the defaults of its type and host.
 * @module
 */
import type { BackendConfig, KeyConfig, ModelConfig } from './types.ts'
import {
  MAX_TIMER, createSecretReader, fail, readBaseUrl, readFlag, readList, readNumber, readObject, readRecord, readText, readWord,
} from './values.ts'
import type { Environment, ReadSecret } from './values.ts'
import type { DialectName } from '../hub/types.ts'
import { memberPath } from './json-text.ts'
import { hostSpeaks } from './known.ts'

/** Backend names become prefixes of model names, labels and headers (pitfall Z11). */
export const BACKEND_NAME: RegExp = /^[a-z0-9][a-z0-9_-]*$/
const TYPES = ['anthropic', 'openai', 'claude-code', 'echo'] as const
const DIALECTS = ['anthropic', 'chat', 'responses'] as const
const BACKEND = ['type', 'baseUrl', 'keys', 'speaks', 'timeouts', 'headers', 'dropBetas', 'models', 'maxConcurrent',
  'maxQueue', 'command', 'configDir', 'env', 'idle', 'maxProcesses', 'warm'] as const

function readKeys(value: unknown, path: string, id: string, secret: ReadSecret): KeyConfig[] {
  const keys = readList(value, path, (item, at) => {
    const { key, weight } = typeof item === 'string' ? { key: item, weight: 1 } : readObject(item, at, ['key', 'weight'])
    const found = secret(readText(key, at), at)
    return { value: found, weight: readNumber(weight ?? 1, `${at}.weight`, 0.001, 1000, false) }
  })
  return keys.flatMap(({ value: found, weight }, index) =>
    found === undefined ? [] : [{ label: `${id}#${index + 1}`, value: found, weight }])
}

function readModel(value: unknown, path: string): ModelConfig {
  if (typeof value === 'string') return { id: readText(value, path) }
  const { id, maxInputTokens, maxOutputTokens, price } = readObject(value, path, ['id', 'maxInputTokens', 'maxOutputTokens', 'price'])
  const tokens = (count: unknown, name: string): number => readNumber(count, `${path}.${name}`, 1, 1e9)
  const model: ModelConfig = { id: readText(id, `${path}.id`) }
  if (maxInputTokens !== undefined) model.maxInputTokens = tokens(maxInputTokens, 'maxInputTokens')
  if (maxOutputTokens !== undefined) model.maxOutputTokens = tokens(maxOutputTokens, 'maxOutputTokens')
  if (price !== undefined) {
    const at = `${path}.price`
    const given = readObject(price, at, ['input', 'output', 'cacheRead', 'cacheWrite'])
    const dollars = (name: keyof typeof given): number => readNumber(given[name], `${at}.${name}`, 0, 1e6, false)
    model.price = { input: dollars('input'), output: dollars('output') }
    if (given.cacheRead !== undefined) model.price.cacheRead = dollars('cacheRead')
    if (given.cacheWrite !== undefined) model.price.cacheWrite = dollars('cacheWrite')
  }
  return model
}

const BASE_URLS = {
  anthropic: 'https://api.anthropic.com', openai: 'https://api.openai.com', 'claude-code': undefined, echo: undefined,
}

export function readBackend(value: unknown, path: string, id: string, secret: ReadSecret): BackendConfig {
  if (!BACKEND_NAME.test(id)) fail(path, 'a backend name has lower-case letters, digits, - and _, and begins with a letter or digit')
  const given = readObject(value, path, BACKEND)
  const at = (name: (typeof BACKEND)[number]): string => `${path}.${name}`
  const type = readWord(given.type, at('type'), TYPES)
  const baseUrl = given.baseUrl === undefined ? BASE_URLS[type] : readBaseUrl(given.baseUrl, at('baseUrl'))
  const texts = (name: 'dropBetas'): string[] => readList(given[name] ?? [], at(name), readText)
  const ms = (number: unknown, name: string): number => readNumber(number, name, 1, MAX_TIMER)
  const { connect, firstByte, silence } = readObject(given.timeouts ?? {}, at('timeouts'), ['connect', 'firstByte', 'silence'])
  const speaks = given.speaks === undefined
    ? type === 'openai' ? hostSpeaks(baseUrl) : ['anthropic' as const]
    : [...new Set(readList(given.speaks, at('speaks'), (word, where) => readWord(word, where, DIALECTS)))]
  if (speaks.length === 0) fail(at('speaks'), `must name at least one of ${DIALECTS.join(', ')}`)
  const headers = readRecord(given.headers, at('headers'), readText)
  for (const [name, text] of Object.entries(headers)) {
    const valid = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !/[^\t\x20-\x7e]/.test(text)
    if (!valid) fail(memberPath(at('headers'), name), 'is not a valid HTTP header')
  }
  return {
    type,
    baseUrl,
    keys: readKeys(given.keys ?? [], at('keys'), id, secret),
    speaks,
    timeouts: {
      connect: ms(connect ?? 10_000, `${at('timeouts')}.connect`),
      firstByte: ms(firstByte ?? 600_000, `${at('timeouts')}.firstByte`),
      silence: ms(silence ?? 300_000, `${at('timeouts')}.silence`),
    },
    headers,
    dropBetas: texts('dropBetas'),
    models: readList(given.models ?? [], at('models'), readModel),
    maxConcurrent: given.maxConcurrent === undefined ? undefined : readNumber(given.maxConcurrent, at('maxConcurrent'), 1, 100_000),
    maxQueue: readNumber(given.maxQueue ?? 64, at('maxQueue'), 0, 100_000),
    discovered: false,
    command: given.command === undefined ? undefined : readText(given.command, at('command')),
    configDir: given.configDir === undefined ? undefined : readText(given.configDir, at('configDir')),
    env: readRecord(given.env, at('env'), (text, where) => (typeof text === 'string' ? text : fail(where, 'must be a text'))),
    idle: ms(given.idle ?? 600_000, at('idle')),
    maxProcesses: readNumber(given.maxProcesses ?? 10, at('maxProcesses'), 1, 1000),
    warm: readFlag(given.warm ?? false, at('warm')),
  }
}

/** A backend with the defaults of its type; for what was found rather than written. */
export function createBackendConfig(
  id: string,
  settings: { type: BackendConfig['type']; baseUrl?: string; speaks?: DialectName[]; key?: string },
  environment: Environment = {},
): BackendConfig {
  const { key, ...rest } = settings
  const secret = createSecretReader(environment, [])
  const given = { ...rest, keys: key === undefined ? [] : [key] }
  return { ...readBackend(given, `backends.${id}`, id, secret), discovered: true }
}
