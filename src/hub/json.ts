/**
 * Objects in JSON of unknown making.
 * @module
 */
import type { JsonObject } from './types.ts'

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The members of an object; none of anything else. */
export function toFields(value: unknown): JsonObject {
  return isObject(value) ? value : {}
}

/** Undefined for text that is no JSON, and for JSON that is no object. */
export function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
