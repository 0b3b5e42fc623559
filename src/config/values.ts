/**
 * Readers of configuration values: each returns the value or throws `config_invalid` with the JSON path and what would
 * be right. Secrets (`env:NAME`, `file:PATH`) are read here and never part of a message.
 * @module
 */
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import { memberPath } from './json-text.ts'
import { suggest } from './nearest.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const MAX_TIMER = 2_147_483_647 // ms; setTimeout fires at once above this

/** What is not there is read as undefined. */
export type Read<Value> = (value: unknown, path: string) => Value

export function fail(path: string, problem: string): never {
  throw new DarioError('config_invalid', `${path}: ${problem}`, { path })
}

function readObject(value: unknown, path: string): Record<string, unknown> {
  if (isObject(value)) return value
  return fail(path || 'the file', 'must be an object: { ... }')
}

/** An object with these members and no other. */
export function shape<Members extends Readonly<Record<string, Read<unknown>>>>(
  members: Members,
): Read<{ [Name in keyof Members]: ReturnType<Members[Name]> }> {
  const names = Object.keys(members)
  return (value, path) => {
    const given = readObject(value, path)
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(members, name))
    if (unknown !== undefined) {
      fail(memberPath(path, unknown), suggest('is not a setting', unknown, names, `known: ${names.join(', ')}`))
    }
    const entries = Object.entries(members).map(([name, read]) => [name, read(given[name], memberPath(path, name))])
    return Object.fromEntries(entries) as { [Name in keyof Members]: ReturnType<Members[Name]> }
  }
}

/** Any names. Without a prototype, so that a model or backend called `constructor` finds nothing. */
export function recordOf<Value>(read: (value: unknown, path: string, name: string) => Value): Read<Record<string, Value>> {
  return (value, path) => {
    const record: Record<string, Value> = Object.create(null)
    for (const [name, member] of Object.entries(readObject(value, path))) record[name] = read(member, memberPath(path, name), name)
    return record
  }
}

export function listOf<Value>(read: Read<Value>): Read<Value[]> {
  return (value, path) => {
    if (!Array.isArray(value)) fail(path, 'must be a list: [ ... ]')
    return value.map((item, index) => read(item, `${path}[${index}]`))
  }
}

export function optional<Value>(read: Read<Value>): Read<Value | undefined> {
  return (value, path) => (value === undefined ? undefined : read(value, path))
}

export function withDefault<Value>(usual: unknown, read: Read<Value>): Read<Value> {
  return (value, path) => read(value ?? usual, path)
}

/** As it is written: for what only a look at the rest can judge. */
export function readAny(value: unknown): unknown {
  return value
}

export function readText(value: unknown, path: string): string {
  if (typeof value !== 'string' || value.trim() === '') fail(path, 'must be a text that is not empty')
  return value
}

export function numberFrom(least: number, most: number, whole = true): Read<number> {
  return (value, path) => {
    if (typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value))) return value
    return fail(path, `must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}`)
  }
}

export function oneOf<const Word extends string | boolean>(words: readonly Word[]): Read<Word> {
  return (value, path) => words.find((word) => word === value) ?? fail(path, `must be one of ${words.join(', ')}`)
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

export function toHome(environment: Environment): string {
  const home = environment['HOME'] || environment['USERPROFILE']
  if (home) return home
  try {
    return userInfo().homedir
  } catch {
    throw new DarioError('config_invalid', 'this user has no home folder; name one in the variable HOME')
  }
}

export type ReadSecret = (text: string, path: string) => string | undefined

/** Reads secrets; `undefined` with a warning where one is missing, so that one lost variable does not stop the rest. */
export function createSecretReader(environment: Environment, warnings: string[]): ReadSecret {
  function find(text: string): [value: string | undefined, problem: string, source?: string] {
    const name = text.replace(/^(?:env|file):/, '').trim()
    // What is no name may be the key itself.
    if (text.startsWith('env:')) return [environment[name]?.trim(), /^\w+$/.test(name) ? `${name} is not set` : 'what follows env: is no name of a variable', `${name} `]
    if (!text.startsWith('file:')) return [text.trim(), 'nothing is there']
    const file = name.replace(/^~(?=[/\\]|$)/, toHome(environment))
    try {
      return [readFileSync(file, 'utf8').trim(), `${file} is empty`, `${file} `]
    } catch (error) {
      return [undefined, `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`]
    }
  }
  return (text, path) => {
    const [value, problem, source = ''] = find(text)
    if (!value) return void warnings.push(`${path}: ${problem}; this key is left out`)
    if (!/^[\x21-\x7e]+$/.test(value)) fail(path, `${source}has a space or a character that cannot travel in a header; paste it again`)
    return value
  }
}
