/**
 * Readers of configuration values: each returns the value or throws `config_invalid` with the JSON path and what would
 * be right. Secrets (`env:NAME`, `file:PATH`) are read here and never part of a message.
 * @module
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { DarioError } from '../errors.ts'
import { memberPath } from './json-text.ts'
import { nearest } from './nearest.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const MAX_TIMER = 2_147_483_647 // ms; setTimeout fires at once above this

type Read<Value> = (value: unknown, path: string) => Value

export function fail(path: string, problem: string): never {
  throw new DarioError('config_invalid', `${path}: ${problem}`, { path })
}

export function readObject<Name extends string>(
  value: unknown, path: string, names: readonly Name[],
): Partial<Record<Name, unknown>> {
  for (const [name] of readMembers(value, path)) {
    if ((names as readonly string[]).includes(name)) continue
    const near = nearest(name, names)
    const hint = near === undefined ? `known: ${names.join(', ')}` : `did you mean "${near}"?`
    fail(memberPath(path, name), `is not a setting; ${hint}`)
  }
  return value as Partial<Record<Name, unknown>>
}

export function readMembers(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path || 'the file', 'must be an object: { ... }')
  return Object.entries(value)
}

/** Without a prototype, so that a model or backend called `constructor` finds nothing. */
export function readRecord<Value>(
  value: unknown, path: string, read: (value: unknown, path: string, name: string) => Value,
): Record<string, Value> {
  const record: Record<string, Value> = Object.create(null)
  for (const [name, member] of readMembers(value ?? {}, path)) record[name] = read(member, memberPath(path, name), name)
  return record
}

export function readList<Value>(value: unknown, path: string, read: Read<Value>): Value[] {
  if (!Array.isArray(value)) fail(path, 'must be a list: [ ... ]')
  return value.map((item, index) => read(item, `${path}[${index}]`))
}

export function readText(value: unknown, path: string): string {
  if (typeof value !== 'string' || value.trim() === '') fail(path, 'must be a text that is not empty')
  return value
}

export function readFlag(value: unknown, path: string): boolean {
  return typeof value === 'boolean' ? value : fail(path, 'must be true or false')
}

export function readNumber(value: unknown, path: string, least: number, most: number, whole = true): number {
  if (typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value))) return value
  return fail(path, `must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}`)
}

export function readWord<Word extends string>(value: unknown, path: string, words: readonly Word[]): Word {
  const word = words.find((known) => known === value)
  return word ?? fail(path, `must be one of ${words.join(', ')}`)
}

/** Without a trailing slash and without `/v1` at its end: people paste both forms (pitfall X10). */
export function readBaseUrl(value: unknown, path: string): string {
  const text = readText(value, path).trim()
  const url = URL.canParse(text) ? new URL(text) : fail(path, 'must be a URL such as http://localhost:4000')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') fail(path, 'must begin with http:// or https://')
  if (url.username !== '' || url.password !== '') fail(path, 'must not hold a user or password; use "keys" instead')
  if (url.search !== '' || url.hash !== '') fail(path, 'must end with the path: no ? and no #')
  return url.href.replace(/\/+$/, '').replace(/\/v1$/, '').replace(/\/+$/, '')
}

/** Reads secrets; `undefined` with a warning where one is missing, so that one lost variable does not stop the rest. */
export function createSecretReader(environment: Environment, warnings: string[]): ReadSecret {
  function find(text: string, path: string): string | undefined {
    if (text.startsWith('env:')) {
      const name = text.slice(4).trim()
      const value = environment[name]?.trim()
      if (!value) warnings.push(`${path}: ${name} is not set; this key is left out`)
      return value || undefined
    }
    if (!text.startsWith('file:')) return text.trim()
    const file = text.slice(5).trim().replace(/^~(?=[/\\]|$)/, environment['HOME'] ?? environment['USERPROFILE'] ?? homedir())
    try {
      const value = readFileSync(file, 'utf8').trim()
      if (value !== '') return value
      warnings.push(`${path}: ${file} is empty; this key is left out`)
    } catch (error) {
      warnings.push(`${path}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); this key is left out`)
    }
    return undefined
  }
  return (text, path) => {
    const value = find(text, path)
    if (value !== undefined && !/^[\x21-\x7e]+$/.test(value)) {
      fail(path, 'has a space or a character that cannot travel in a header; paste it again')
    }
    return value
  }
}

export type ReadSecret = (text: string, path: string) => string | undefined
