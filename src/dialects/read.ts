/**
 * Tiny readers for wire JSON, and what all three APIs spell alike. The strict ones throw `invalid_request` with the
 * JSON path, the `optional*` ones give undefined for anything of another type: unknown or null is never an error.
 * @module
 */
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import type { CacheHint, Json, JsonObject, Thinking } from '../hub/types.ts'
export { isObject, parseObject } from '../hub/json.ts'

export const optionalStr = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
export const optionalNum = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined
export const optionalBool = (value: unknown): boolean | undefined => (typeof value === 'boolean' ? value : undefined)
export const optionalObj = (value: unknown): JsonObject | undefined => (isObject(value) ? value : undefined)
export const optionalArr = (value: unknown): Json[] | undefined => Array.isArray(value) ? (value as Json[]) : undefined

/** The objects of a list; what else stands in it is passed over. */
export const objectsIn = (value: unknown): JsonObject[] => (optionalArr(value) ?? []).filter(isObject)

/** Stop sequences: one, or a list. */
export function readStops(stop: unknown): string[] {
  return typeof stop === 'string' ? [stop] : (optionalArr(stop) ?? []).filter((word) => typeof word === 'string')
}

/** Text that is a string, or a list of parts with text in them. */
export function joinTexts(value: unknown, separator: string): string {
  return optionalStr(value) ?? objectsIn(value).map((part) => optionalStr(part['text'])).filter(Boolean).join(separator)
}

/** Any JSON as text: `String` throws on an object that has a member `toString`. */
export const toText = (value: unknown): string => typeof value === 'string' ? value : JSON.stringify(value) ?? 'undefined'

/** @throws DarioError `invalid_request`, as all of these. */
export const str = (value: unknown, path: string): string => optionalStr(value) ?? refuse(path, 'a string', value)
export const num = (value: unknown, path: string): number => optionalNum(value) ?? refuse(path, 'a number', value)
export const obj = (value: unknown, path: string): JsonObject => optionalObj(value) ?? refuse(path, 'an object', value)
export const arr = (value: unknown, path: string): Json[] => optionalArr(value) ?? refuse(path, 'an array', value)

/** @throws DarioError `invalid_request` for an empty string too: a picture without data is none. */
export function filled(value: unknown, path: string): string {
  return str(value, path) || refuse(path, 'filled', value)
}

/** @throws DarioError `invalid_request` */
export function oneOf<Word extends string>(value: unknown, path: string, words: readonly Word[]): Word {
  const found = typeof value === 'string' ? ` (${JSON.stringify(value.slice(0, 20))})` : '' // E9: no more of it
  return words.find((word) => word === value) ?? refuse(path, `one of ${words.join(', ')}`, value, found)
}

/** A member that may be left out or null, and is read strictly otherwise. */
export function given<Value>(
  value: unknown, path: string, read: (value: unknown, path: string) => Value,
): Value | undefined {
  return value === undefined || value === null ? undefined : read(value, path)
}

const EFFORTS = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const

/** undefined for `none` and for a word that is not known. */
export function readEffort(word: unknown): Thinking['effort'] {
  return EFFORTS.find((effort) => effort === word)
}

/** Without the members that are undefined: what was not said is not there. */
export function defined<Fields extends object>(fields: Fields): Fields {
  const said: Partial<Fields> = {} // a copy: `delete` would slow every later access down
  for (const key in fields) if (fields[key] !== undefined) said[key] = fields[key]
  return said as Fields
}

/** undefined members are left out by JSON, null ones are refused by Anthropic (pitfall C4). */
export function readCache(marked: JsonObject): CacheHint | undefined {
  const control = optionalObj(marked['cache_control'])
  return control === undefined ? undefined : { ttl: optionalStr(control['ttl']) }
}

/** For what only another API, or another backend, could do. */
export function unsupported(path: string, why: string): never {
  throw new DarioError('unsupported_across_dialects', `${path}: ${why}`, { path })
}

function refuse(path: string, wanted: string, value: unknown, more = ''): never {
  const found = value === null ? 'null' : value === undefined ? 'missing' : value === '' ? 'empty'
    : Array.isArray(value) ? 'an array' : typeof value
  throw new DarioError('invalid_request', `${path}: must be ${wanted}, it is ${found}${more}`, { path })
}
