/**
 * JSON as people edit it: parse with the line and column of a mistake, and find where in the text a JSON path is.
 * `JSON.parse` does the reading; the scan runs only when there is something to point at (V8's messages have no
 * position in several cases).
 * @module
 */
import { DarioError } from '../errors.ts'

/** Sticky, so that each matches exactly at the cursor. */
const SPACE = /[ \t\r\n]*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** `backends.openai`, `aliases["gpt-4.1"]`; the root is ''. */
export function memberPath(path: string, name: string): string {
  if (!/^[\w-]+$/.test(name)) return `${path}[${JSON.stringify(name)}]`
  return path === '' ? name : `${path}.${name}`
}

/** Line and column, from 1, as editors count. */
export function positionAt(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 }
}

/**
 * A leading byte order mark is tolerated: Windows editors write one.
 * @throws DarioError `config_invalid` that begins with `name:line:column`
 */
export function parseJsonText(text: string, name: string): unknown {
  const body = text.replace(/^\uFEFF/, '')
  try {
    return JSON.parse(body)
  } catch (cause) {
    const { errorAt } = scan(body)
    const { line, column } = positionAt(body, errorAt ?? 0)
    const found = body[errorAt ?? 0]
    const what = found === undefined ? 'the file ends too early' : `unexpected ${JSON.stringify(found)}`
    const hint = found === '/' ? '; JSON has no comments' : /[}\]]/.test(found ?? '') ? '; is there a comma too many before it?' : ''
    // Not V8's message: it quotes the text around the mistake, which may be a key.
    throw new DarioError('config_invalid', `${name}:${line}:${column}: not valid JSON: ${what}${hint}`, { cause })
  }
}

/** Where the member (its name) or the list item at `path` begins; the nearest parent when it is not there. */
export function locatePath(text: string, path: string): { line: number; column: number } | undefined {
  const body = text.replace(/^\uFEFF/, '')
  const { places } = scan(body)
  for (let at = path; at !== ''; at = at.replace(/(?:\.?[\w-]+|\[[^[]*\])$/, '')) {
    const offset = places.get(at)
    if (offset !== undefined) return positionAt(body, offset)
    if (!/(?:[\w-]|\])$/.test(at)) return undefined
  }
  return undefined
}

function scan(text: string): { places: Map<string, number>; errorAt: number | undefined } {
  const places = new Map<string, number>()
  let cursor = 0
  function skip(pattern: RegExp): string | undefined {
    pattern.lastIndex = cursor
    const found = pattern.exec(text)?.[0]
    cursor += found?.length ?? 0
    return found
  }
  /** One character after white space; the cursor stays in front of anything else. */
  function take(characters: string): string {
    skip(SPACE)
    const found = text[cursor]
    if (found === undefined || !characters.includes(found)) throw new SyntaxError()
    cursor += 1
    return found
  }
  function members(path: string, open: string, close: string): void {
    take(open)
    skip(SPACE)
    if (text[cursor] === close) return void take(close)
    for (let index = 0; ; index++) {
      skip(SPACE)
      const start = cursor
      let at = `${path}[${index}]`
      if (open === '{') {
        at = memberPath(path, JSON.parse(skip(STRING) ?? 'no string') as string)
        take(':')
      }
      places.set(at, start)
      value(at)
      if (take(`,${close}`) === close) return
    }
  }
  function value(path: string): void {
    skip(SPACE)
    if (text[cursor] === '{') members(path, '{', '}')
    else if (text[cursor] === '[') members(path, '[', ']')
    else if (skip(STRING) === undefined && !skip(SCALAR)) throw new SyntaxError()
  }
  try {
    value('')
    skip(SPACE)
    return { places, errorAt: cursor < text.length ? cursor : undefined }
  } catch {
    return { places, errorAt: cursor }
  }
}
