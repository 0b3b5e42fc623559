/**
 * Repairs of JSON Schemas that vendors refuse: tools and formats are written by many hands, and one bad schema fails
 * the whole request. Deterministic and in the author's key order, so that prompt caches hold.
 * @see https://json-schema.org/draft/2020-12
 * @module
 */
import type { Json, JsonObject } from '../hub/types.ts'
import { isObject } from './read.ts'

export interface SchemaRules {
  /** The root must be a plain object schema (tools of every vendor). */
  root?: 'object' | undefined
  /** Write out `$ref`s, for targets that refuse them. */
  inlineRefs: boolean
  /** `additionalProperties: false` on every object, which Anthropic's output format demands. */
  closed?: boolean | undefined
}

const MAX_DEPTH = 64 // deeper schemas exist only to break us
const MAX_NODES = 20_000 // inlined references can grow without bound
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems']
const SINGLES = ['items', 'additionalProperties', 'contains', 'not', 'if', 'then', 'else', 'propertyNames']

export function repairSchema(schema: JsonObject, rules: SchemaRules): JsonObject {
  let nodes = 0
  const rooted = rules.root === 'object' ? toObjectRoot(schema) : schema

  function visit(value: Json | undefined, seen: readonly string[], depth: number): Json {
    if (!isObject(value)) return value === false ? false : value === true ? true : {}
    if (depth > MAX_DEPTH || ++nodes > MAX_NODES) return {}
    if (rules.inlineRefs && typeof value['$ref'] === 'string') {
      const { $ref: ref, ...rest } = value
      const target = lookUp(schema, ref as string)
      const isCycle = target === undefined || seen.includes(ref as string)
      if (isCycle) return visit({ type: 'object', ...rest }, seen, depth + 1)
      return visit({ ...target, ...rest }, [...seen, ref as string], depth + 1)
    }
    const result: JsonObject = {}
    for (const [key, member] of Object.entries(value)) {
      if (member === null && key !== 'default' && key !== 'const') continue // `required: null` and the like
      if (rules.inlineRefs && (key === '$defs' || key === 'definitions')) continue
      if (key === 'required' && !Array.isArray(member)) continue
      if (MAPS.includes(key)) {
        result[key] = isObject(member)
          ? Object.fromEntries(Object.entries(member).map(([name, inner]) => [name, visit(inner, seen, depth + 1)]))
          : {}
      } else if (SINGLES.includes(key) || (LISTS.includes(key) && Array.isArray(member))) {
        result[key] = Array.isArray(member)
          ? member.map((inner) => visit(inner, seen, depth + 1))
          : visit(member, seen, depth + 1)
      } else {
        result[key] = member
      }
    }
    if (result['type'] === undefined && isObject(result['properties'])) result['type'] = 'object'
    if (result['type'] === 'object' && result['properties'] === undefined) result['properties'] = {}
    if (result['type'] === 'array' && result['items'] === undefined && result['prefixItems'] === undefined)
      result['items'] = {}
    if (rules.closed === true && result['type'] === 'object') result['additionalProperties'] = false
    return result
  }

  return visit(rooted, [], 0) as JsonObject
}

/** One object schema that accepts what the branches accept; lossy: which branch excludes which is only described. */
function toObjectRoot(schema: JsonObject, depth = 0): JsonObject {
  if (depth > MAX_DEPTH) return { type: 'object', properties: {} }
  let root = schema
  for (let hops = 0; typeof root['$ref'] === 'string' && hops < MAX_DEPTH; hops++) {
    const { $ref: ref, ...rest } = root
    root = { ...lookUp(schema, ref as string), ...rest }
  }
  const { anyOf, oneOf, allOf, ...own } = root
  const properties: JsonObject = isObject(own['properties']) ? { ...own['properties'] } : {}
  let required = toNames(own['required'])
  for (const branches of [anyOf, oneOf, allOf]) {
    if (!Array.isArray(branches)) continue
    const parts = branches.filter(isObject).map((branch) => {
      return toObjectRoot({ ...branch, $defs: schema['$defs'], definitions: schema['definitions'] }, depth + 1)
    })
    for (const part of parts) {
      for (const [name, inner] of Object.entries(part['properties'] as JsonObject)) properties[name] ??= inner
    }
    const lists = parts.map((part) => toNames(part['required']))
    const more =
      branches === allOf ? lists.flat() : (lists[0] ?? []).filter((name) => lists.every((list) => list.includes(name)))
    required = [...new Set([...required, ...more])]
  }
  const merged: JsonObject = { ...root, type: 'object', properties }
  for (const list of ['anyOf', 'oneOf', 'allOf']) delete merged[list]
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
