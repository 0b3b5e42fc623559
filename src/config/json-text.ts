/**
 * JSON as people edit it: parse with the line and column of a mistake, and find where in the text everything is.
 * `JSON.parse` would take a name that is there twice and lose one of the two, and has no position for several mistakes.
 * @module
 */
import { DarioError } from '../errors.ts'

/** Sticky, so that each matches exactly at the cursor. */
const SPACE = /[ \t\r\n]*/y
const SPACE_AND_COMMENTS = /(?:\s|\/\/.*|\/\*[^]*?\*\/)*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** By the character that is not JSON. */
const HINTS: readonly [RegExp, string][] = [
  [/\//, '; JSON has no comments'], [/[}\]]/, '; is there a comma too many before it?'],
  [/['a-z_]/i, '; names and texts stand in double quotes'], [/\uFFFD/, '; save the file as UTF-8'],
]

/** A value and its place in the text: from `start` to before `end`. */
export interface JsonNode {
  /** Where a member's name begins; of a list item the same as `start`. */
  at: number
  start: number
  end: number
  value: unknown
  /** Of an object by name, of a list by index. */
  members?: Map<string, JsonNode>
}

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
  const { root, errorAt, cause } = scanJson(body)
  if (errorAt === undefined) return root.value
  const { line, column } = positionAt(body, errorAt)
  const found = body[errorAt]
  const what = found === undefined ? 'the file ends too early' : `unexpected ${JSON.stringify(found)}`
  const hint = body.trim() === '' ? '; write {} into it or delete it' : HINTS.find(([pattern]) => pattern.test(found ?? ''))?.[1] ?? ''
  const problem = cause instanceof SyntaxError && cause.message !== '' ? cause.message : `not valid JSON: ${what}${hint}`
  throw new DarioError('config_invalid', `${name}:${line}:${column}: ${problem}`, { cause })
}

/** Where the member (its name) or the list item at `path` begins; the nearest parent when it is not there. */
export function locatePath(text: string, path: string): { line: number; column: number } | undefined {
  const body = text.replace(/^\uFEFF/, '')
  const { root } = scanJson(body)
  let node = root
  for (const [, quoted, plain = ''] of path.matchAll(/\[("(?:[^"\\]|\\.)*")\]|([\w-]+)/g)) {
    const next = node.members?.get(quoted === undefined ? plain : JSON.parse(quoted) as string)
    if (next === undefined) break
    node = next
  }
  return node === root ? undefined : positionAt(body, node.at)
}

/**
 * The tree as far as it can be read, and where the text stops being JSON.
 * @param loose also comments and commas too many, as editors keep their settings
 */
export function scanJson(text: string, loose = false): { root: JsonNode; errorAt?: number; cause?: unknown } {
  const space = loose ? SPACE_AND_COMMENTS : SPACE
  let cursor = 0
  function skip(pattern: RegExp): string | undefined {
    pattern.lastIndex = cursor
    const found = pattern.exec(text)?.[0]
    cursor += found?.length ?? 0
    return found
  }
  /** One character after white space; the cursor stays in front of anything else. */
  function take(character: string): boolean {
    skip(space)
    if (text[cursor] !== character) return false
    cursor += 1
    return true
  }
  function fail(problem?: string): never {
    throw new SyntaxError(problem)
  }
  function begin(): JsonNode {
    skip(space)
    return { at: cursor, start: cursor, end: cursor, value: undefined }
  }
  function fill(node: JsonNode): void {
    if (take('{')) {
      node.value = Object.fromEntries(fillMembers(node, '}'))
    } else if (take('[')) {
      node.value = fillMembers(node, ']').map(([, value]) => value)
    } else {
      node.value = JSON.parse(skip(STRING) ?? skip(SCALAR) ?? fail())
    }
    node.end = cursor
  }
  function fillMembers(node: JsonNode, close: string): [string, unknown][] {
    const members = node.members = new Map<string, JsonNode>()
    for (let more = !take(close); more;) {
      const member = begin()
      const name = close === ']' ? String(members.size) : JSON.parse(skip(STRING) ?? fail()) as string
      if (members.has(name)) {
        cursor = member.at
        fail(`${JSON.stringify(name)} is there twice; keep one`)
      }
      if (close === '}' && !take(':')) fail()
      members.set(name, member)
      member.start = begin().start
      fill(member)
      more = !take(close)
      if (more && !take(',')) fail()
      if (more && loose && take(close)) more = false
    }
    return Array.from(members, ([name, { value }]) => [name, value])
  }
  const root = begin()
  try {
    fill(root)
    skip(space)
    return cursor === text.length ? { root } : fail()
  } catch (cause) {
    return { root, errorAt: cursor, cause }
  }
}
