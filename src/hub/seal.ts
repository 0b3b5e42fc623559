/**
 * Seals as text, so that proof of reasoning from one vendor survives a client that speaks another's dialect: it rides
 * in that dialect's own opaque field (`signature`, `encrypted_content` …) and comes back with the history.
 * @module
 */
import { parseObject } from './json.ts'
import type { DialectName, Seal } from './types.ts'

const ORIGINS: readonly string[] = ['anthropic', 'chat', 'responses'] satisfies DialectName[]
const PACKED = /^dario\.([a-z]+)\.([A-Za-z0-9_-]+)$/

/** `dario.<origin>.<base64url of JSON {id,value}>` */
export function packSeal(seal: Seal): string {
  return `dario.${seal.origin}.${Buffer.from(JSON.stringify({ id: seal.id, value: seal.value })).toString('base64url')}`
}

/** undefined for text that `packSeal` did not make: a vendor's own proof. */
export function unpackSeal(text: string): Seal | undefined {
  const [, origin, packed] = PACKED.exec(text) ?? []
  if (origin === undefined || packed === undefined || !ORIGINS.includes(origin)) return undefined
  const { id, value } = parseObject(Buffer.from(packed, 'base64url').toString()) ?? {}
  if (typeof value !== 'string') return undefined
  return { origin: origin as DialectName, value, ...(typeof id === 'string' && { id }) }
}
