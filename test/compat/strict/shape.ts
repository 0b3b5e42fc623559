/**
 * A few words for saying what a request may look like; the vendor's own sentence for each way of breaking it.
 * @module
 */

export type Fields = Record<string, unknown>

/** A request refused: becomes a 400 in the vendor's envelope. */
export class Refusal extends Error {
  readonly param: string | null
  readonly code: string | null
  constructor(message: string, param: string | null = null, code: string | null = null) {
    super(message)
    this.param = param
    this.code = code
  }
}

/** Throws a Refusal when the value at `path` is not what it must be. */
export type Check = (value: unknown, path: string) => void

/** How one vendor says it. */
export interface Words {
  join(path: string, key: string | number): string
  unknown(path: string): Refusal
  missing(path: string): Refusal
  type(path: string, expected: string, value: unknown): Refusal
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export interface Shapes {
  /** Exactly these members; a trailing `!` marks one that must be there. */
  object(members: Record<string, Check>): Check
  list(item: Check): Check
  /** An object whose `key` picks the shape. */
  tagged(key: string, shapes: Record<string, Check>, fallback?: string): Check
  oneOf(...values: readonly (string | boolean | null)[]): Check
  text(limits?: { max?: number; pattern?: RegExp; filled?: boolean }): Check
  number(limits?: { min?: number; max?: number; whole?: boolean }): Check
  flag: Check
  any: Check
  record: Check
  orNull(check: Check): Check
  either(word: string, ...checks: readonly [(value: unknown) => boolean, Check][]): Check
}

export function createShapes(words: Words): Shapes {
  const text: Shapes['text'] = ({ max, pattern, filled } = {}) => (value, path) => {
    if (typeof value !== 'string') throw words.type(path, 'a string', value)
    if (filled === true && value === '') throw words.type(path, 'a string with at least 1 character', value)
    if (max !== undefined && value.length > max) throw new Refusal(
      `Invalid '${path}': string too long. Expected a string with maximum length ${max}, but got a string with length ${value.length} instead.`,
      path, 'string_above_max_length')
    if (pattern !== undefined && !pattern.test(value)) throw new Refusal(
      `Invalid '${path}': string does not match pattern. Expected a string that matches the pattern '${pattern.source}'.`, path, 'invalid_value')
  }
  const oneOf: Shapes['oneOf'] = (...values) => (value, path) => {
    if (!values.includes(value as string)) throw words.type(path, `one of ${values.map((word) => `'${word}'`).join(', ')}`, value)
  }
  return {
    text,
    oneOf,
    object(members) {
      const known = new Map(Object.entries(members).map(([name, check]) => [name.replace(/!$/, ''), check]))
      const required = Object.keys(members).filter((name) => name.endsWith('!')).map((name) => name.slice(0, -1))
      return (value, path) => {
        if (!isFields(value)) throw words.type(path, 'an object', value)
        for (const name of required) if (value[name] === undefined) throw words.missing(words.join(path, name))
        for (const [name, member] of Object.entries(value)) {
          const check = known.get(name)
          if (check === undefined) throw words.unknown(words.join(path, name))
          check(member, words.join(path, name))
        }
      }
    },
    list: (item) => (value, path) => {
      if (!Array.isArray(value)) throw words.type(path, 'an array', value)
      for (const [index, member] of value.entries()) item(member, words.join(path, index))
    },
    tagged: (key, shapes, fallback) => (value, path) => {
      if (!isFields(value)) throw words.type(path, 'an object', value)
      const tag = value[key] ?? fallback
      if (tag === undefined) throw words.missing(words.join(path, key))
      const check = Object.hasOwn(shapes, String(tag)) ? shapes[String(tag)] : undefined
      if (check === undefined) throw words.type(words.join(path, key), `one of ${Object.keys(shapes).map((word) => `'${word}'`).join(', ')}`, tag)
      check(value, path)
    },
    number: ({ min, max, whole } = {}) => (value, path) => {
      if (typeof value !== 'number' || whole === true && !Number.isInteger(value)) throw words.type(path, whole === true ? 'an integer' : 'a number', value)
      if (min !== undefined && value < min) throw new Refusal(`${path}: range: ${value} is below the minimum ${min}`, path, 'integer_below_min_value')
      if (max !== undefined && value > max) throw new Refusal(`${path}: range: ${value} is above the maximum ${max}`, path, 'integer_above_max_value')
    },
    flag: (value, path) => {
      if (typeof value !== 'boolean') throw words.type(path, 'a boolean', value)
    },
    any: () => {},
    record: (value, path) => {
      if (!isFields(value)) throw words.type(path, 'an object', value)
    },
    orNull: (check) => (value, path) => {
      if (value !== null) check(value, path)
    },
    either: (word, ...checks) => (value, path) => {
      const found = checks.find(([matches]) => matches(value))
      if (found === undefined) throw words.type(path, word, value)
      found[1](value, path)
    },
  }
}

export const isText = (value: unknown): boolean => typeof value === 'string'
export const isList = (value: unknown): boolean => Array.isArray(value)

/** OpenAI's two APIs speak alike. */
export const OPENAI_WORDS: Words = {
  join: (path, key) => typeof key === 'number' ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
  unknown: (path) => new Refusal(`Unknown parameter: '${path}'.`, path, 'unknown_parameter'),
  missing: (path) => new Refusal(`Missing required parameter: '${path}'.`, path, 'missing_required_parameter'),
  type: (path, expected, value) => new Refusal(
    `Invalid type for '${path}': expected ${expected}, but got ${JSON.stringify(value)?.slice(0, 100) ?? 'nothing'} instead.`, path, 'invalid_type'),
}

/** What OpenAI asks of a function's schema, at every depth (`strict` asks for more). */
export function checkOpenAiSchema(schema: unknown, name: string, strict: boolean, path: string): void {
  const refuse = (context: string, why: string): Refusal =>
    new Refusal(`Invalid schema for function '${name}': In context=(${context}), ${why}.`, path, 'invalid_function_parameters')
  if (!isFields(schema)) throw refuse('', 'schema must be an object')
  if (schema['type'] !== 'object') throw new Refusal(
    `Invalid schema for function '${name}': schema must be a JSON Schema of 'type: "object"', got 'type: "${schema['type'] ?? 'None'}"'.`, path, 'invalid_function_parameters')
  for (const word of ['anyOf', 'oneOf', 'allOf', 'enum', 'not']) if (schema[word] !== undefined) throw refuse('', `'${word}' is not permitted at the top level`)
  visit(schema, '')

  function visit(value: unknown, context: string): void {
    if (!isFields(value)) return
    const types = [value['type']].flat()
    if (types.includes('array') && value['items'] === undefined && value['prefixItems'] === undefined) throw refuse(context, 'array schema missing items')
    if (types.includes('object') && context === '' && value['properties'] === undefined) throw refuse(context, 'object schema missing properties')
    if (strict && types.includes('object')) {
      if (value['additionalProperties'] !== false) throw refuse(context, "'additionalProperties' is required to be supplied and to be false")
      const names = Object.keys(isFields(value['properties']) ? value['properties'] : {})
      const required = Array.isArray(value['required']) ? value['required'] : []
      for (const member of names) if (!required.includes(member)) throw refuse(context, `'required' is required to be supplied and to be an array including every key in properties. Missing '${member}'`)
    }
    if (isFields(value['properties'])) for (const [key, member] of Object.entries(value['properties'])) visit(member, `'properties', '${key}'`)
    visit(value['items'], `${context}, 'items'`)
    for (const word of ['anyOf', 'oneOf', 'allOf']) for (const member of Array.isArray(value[word]) ? value[word] : []) visit(member, `${context}, '${word}'`)
  }
}

/** Models that think before they answer, by OpenAI's names. */
export const isReasoningModel = (model: string): boolean => /^(?:o\d|gpt-[5-9]|codex)/.test(model) && !model.includes('chat')
