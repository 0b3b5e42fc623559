/**
 * Repairs of JSON Schemas that vendors refuse: tools and formats are written by many hands, and one bad schema fails
 * the whole request. Deterministic and in the author's key order, so that prompt caches hold.
 * @see https://json-schema.org/draft/2020-12
 * @module
 */
import type { Json, JsonObject } from '../hub/types.ts'
import { isObject } from './read.ts'

const MAX_DEPTH = 64 // deeper schemas exist only to break us
const MAX_BRANCHES = 2000 // of a root: references to references multiply
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems']
const SINGLES = ['items', 'additionalProperties', 'contains', 'not', 'if', 'then', 'else', 'propertyNames']

/** Of a tool's input: the root becomes a plain object schema, as every vendor demands. */
export function repairToolSchema(schema: JsonObject): JsonObject {
  return repairSchema(toObjectRoot(schema, 0, { left: MAX_BRANCHES }))
}

/** `closed`: `additionalProperties: false` on every object, which Anthropic's output format demands. */
export function repairSchema(schema: JsonObject, closed = false): JsonObject {
  return repair(schema, closed, 0) as JsonObject
}

function repair(value: Json | undefined, closed: boolean, depth: number): Json {
  if (!isObject(value)) return typeof value === 'boolean' ? value : {}
  if (depth > MAX_DEPTH) return {}
  const deeper = (inner: Json | undefined): Json => repair(inner, closed, depth + 1)
  const result: JsonObject = {}
  for (const [key, member] of Object.entries(value)) {
    if (member === null && key !== 'default' && key !== 'const') continue // `required: null` and the like
    if (key === 'required' && !Array.isArray(member)) continue
    if (MAPS.includes(key)) {
      const entries = Object.entries(isObject(member) ? member : {})
      result[key] = Object.fromEntries(entries.map(([name, inner]) => [name, deeper(inner)]))
    } else if (SINGLES.includes(key) || (LISTS.includes(key) && Array.isArray(member))) {
      result[key] = Array.isArray(member) ? member.map(deeper) : deeper(member)
    } else result[key] = member
  }
  if (result['type'] === undefined && isObject(result['properties'])) result['type'] = 'object'
  if (result['type'] === 'object' && result['properties'] === undefined) result['properties'] = {}
  if (result['type'] === 'array' && result['items'] === undefined && result['prefixItems'] === undefined)
    result['items'] = {}
  if (closed && result['type'] === 'object') result['additionalProperties'] = false
  return result
}

/** One object schema that accepts what the branches accept; lossy: which branch excludes which is only described. */
function toObjectRoot(schema: JsonObject, depth: number, branches: { left: number }): JsonObject {
  if (depth > MAX_DEPTH || branches.left-- <= 0) return { type: 'object', properties: {} }
  let root = schema
  for (let hops = 0; typeof root['$ref'] === 'string' && hops < MAX_DEPTH; hops++) {
    const { $ref: ref, ...rest } = root
    root = { ...lookUp(schema, ref as string), ...rest }
  }
  const { anyOf, oneOf, allOf, ...own } = root
  // A map: every object has a `constructor`, and a property may be called so.
  const properties = new Map(Object.entries(isObject(own['properties']) ? own['properties'] : {}))
  let required = toNames(own['required'])
  for (const list of [anyOf, oneOf, allOf]) {
    if (!Array.isArray(list)) continue
    const parts = list.filter(isObject).map((branch) => {
      return toObjectRoot({ ...branch, $defs: schema['$defs'], definitions: schema['definitions'] }, depth + 1, branches)
    })
    for (const part of parts) {
      const fields = Object.entries(part['properties'] as JsonObject)
      for (const [name, inner] of fields) if (!properties.has(name)) properties.set(name, inner)
    }
    const names = parts.map((part) => toNames(part['required']))
    const more = list === allOf ? names.flat() : (names[0] ?? []).filter((name) => names.every((all) => all.includes(name)))
    required = [...new Set([...required, ...more])]
  }
  const merged: JsonObject = { ...own, type: 'object', properties: Object.fromEntries(properties) }
  if (required.length > 0) merged['required'] = required
  else delete merged['required']
  if (depth > 0 || (anyOf === undefined && oneOf === undefined && allOf === undefined)) return merged
  const original = JSON.stringify({ anyOf, oneOf, allOf })
  const note =
    original.length <= 2000 ? `The input must match: ${original}` : 'Not every combination of properties is valid.'
  merged['description'] = typeof own['description'] === 'string' ? `${own['description']}\n${note}` : note
  return merged
}

function toNames(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
}

/** `#`, `#/$defs/Name` and the like inside the same schema; anything else is undefined. */
function lookUp(root: JsonObject, ref: string): JsonObject | undefined {
  if (!ref.startsWith('#')) return undefined
  let found: Json | undefined = root
  for (const step of ref.slice(1).split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    found = isObject(found) && Object.hasOwn(found, name) ? found[name] : undefined
  }
  return isObject(found) ? found : undefined
}
