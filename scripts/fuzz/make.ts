/**
 * What the fuzzers feed: JSON from nothing, JSON and text changed at random places, text cut anywhere.
 * @module
 */
import type { Json, JsonObject } from '../../src/hub/types.ts'
import type { Random } from '../../test/helpers/property.ts'

/** One execution. Throws on a finding; returning is passing. */
export type Check = (random: Random) => void

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random(items.length)] as Item
}

const NAMES = [
  '', 'a', 'type', 'model', 'stream', 'content', 'role', 'text', 'id', 'name', 'input', 'messages', 'tools', 'index', 'delta', 'usage',
  '__proto__', 'constructor', 'toString', 'length', '0', '\u0000', 'a\nb', 'k"', '\\', 'é', '💥', '\ud800', 'x'.repeat(300),
]
const TEXTS = [
  ...NAMES, 'user', 'assistant', 'system', 'tool', 'developer', 'function', 'text', 'tool_use', 'tool_result', 'tool_calls', 'image', 'thinking',
  'message', 'function_call', 'reasoning', 'custom', '{"a":1}', '{"a":', '[]', 'null', 'data:image/png;base64,AAAA', 'data:,', 'https://a/b', 'file:///etc/passwd',
  '../../etc/passwd', '\r\nx-a: b', '\u001b[2J\u0007', 'data: x\n\nevent: y\n\n', '[DONE]', '<think>', '</think>', 'max_tokens', 'stop', 'length', 'error',
  'end_turn', 'refusal', 'in_progress', 'completed', 'failed', 'incomplete', '\u2028', '\u0085',
]
const NUMBERS = [0, -0, 1, -1, 2, 0.5, 1e21, -1e-7, 1e308, 2 ** 31, 2 ** 53, -(2 ** 53), 4294967295, 300, 400, 429, 599]

export function makeScalar(random: Random): Json {
  switch (random(8)) {
    case 0: return null
    case 1: return random(2) === 0
    case 2: case 3: return pick(random, NUMBERS)
    default: return pick(random, TEXTS)
  }
}

/** `defineProperty`, since assigning `__proto__` sets no member. */
function setMember(object: JsonObject, name: string, value: Json): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

export function makeJson(random: Random, depth = 4): Json {
  const kind = depth === 0 ? 9 : random(10)
  if (kind > 5) return makeScalar(random)
  const size = random(5)
  if (kind < 3) return Array.from({ length: size }, () => makeJson(random, depth - 1))
  const object: JsonObject = {}
  for (let left = size; left > 0; left--) setMember(object, pick(random, NAMES), makeJson(random, depth - 1))
  return object
}

const clone = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json

interface Place { parent: Json[] | JsonObject; name: string }

function listPlaces(value: Json | undefined, places: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return places
  for (const name of Object.keys(value)) {
    places.push({ parent: value, name })
    listPlaces((value as JsonObject)[name], places)
  }
  return places
}

/** A changed copy; `donor` gives members that belong to other shapes. */
export function mutateJson(random: Random, value: Json, donor: Json = value): Json {
  const copy = clone(value)
  for (let left = 1 + random(3); left > 0; left--) {
    const places = listPlaces(copy)
    if (places.length === 0) return makeJson(random)
    const { parent, name } = pick(random, places)
    const old = (parent as JsonObject)[name]
    switch (random(8)) {
      case 0:
        if (Array.isArray(parent)) parent.splice(Number(name), 1)
        else delete parent[name]
        break
      case 1: setMember(parent as JsonObject, name, makeJson(random, 2)); break
      case 2: if (Array.isArray(parent)) parent.splice(Number(name), 0, clone(old ?? null)); break
      case 3: setMember(parent as JsonObject, name, [old ?? null]); break
      case 4: {
        const other = pick(random, listPlaces(donor))
        if (other !== undefined) setMember(parent as JsonObject, Array.isArray(parent) ? name : random(2) === 0 ? name : other.name, clone((other.parent as JsonObject)[other.name] ?? null))
        break
      }
      case 5: if (!Array.isArray(parent)) setMember(parent, pick(random, NAMES), makeJson(random, 1)); break
      default: setMember(parent as JsonObject, name, makeScalar(random))
    }
  }
  return copy
}

/** JSON text as no stringifier writes it: blanks, escapes, names twice, numbers in odd spellings. */
export function writeJson(random: Random, value: Json): string {
  const blank = (): string => pick(random, ['', '', '', ' ', '\n', '\t', '\r\n', '  '])
  if (typeof value === 'string') {
    const text = JSON.stringify(value)
    return random(3) > 0 ? text : text.replace(/[a-z]/, (letter) => random(2) === 0 ? letter : `\\u00${letter.charCodeAt(0).toString(16)}`)
  }
  if (typeof value === 'number' && random(4) === 0) return pick(random, ['1E5', '0.10', '-0', '1e+2', '12345678901234567890', '1e999'])
  if (Array.isArray(value)) return `[${blank()}${value.map((item) => writeJson(random, item) + blank()).join(`,${blank()}`)}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const names = Object.keys(value)
  if (random(6) === 0) names.push(...names.slice(0, 1))
  return `{${blank()}${names.map((name) => `${writeJson(random, name)}${blank()}:${blank()}${writeJson(random, value[name] ?? null)}${blank()}`).join(`,${blank()}`)}}`
}

const PIECES = ['{', '}', '[', ']', ',', ':', '"', '\\', '\n', '\r', ' ', '0', '-', '.', 'e', 'null', 'true', '\\u', '\\"', '""', '{}', '\u0000', '\uFEFF', 'é', '\ud800', '\u00a0']

export function mutateText(random: Random, text: string, pieces: readonly string[] = PIECES): string {
  for (let left = random(4); left > 0; left--) {
    const at = random(text.length + 1), length = random(4) === 0 ? random(30) : random(2)
    text = text.slice(0, at) + (random(4) === 0 ? '' : pick(random, pieces)) + text.slice(at + length)
  }
  return text
}

/** Bytes that are no UTF-8, now and then. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
  for (let left = random(3); left > 0 && bytes.length > 0; left--) bytes[random(bytes.length)] = random(256)
  return bytes
}
