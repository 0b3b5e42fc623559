/**
 * Names and ids cut to a vendor's limit, always the same way, so that a prompt cache and a history stay stable.
 * @module
 */
import type { ToolIdentity } from './dialect.ts'

/** OpenAI's limit for tool names, call ids, `prompt_cache_key` and `safety_identifier`, in characters. */
const MOST = 64

/** Two FNV-1a passes: dialects have no access to `node:crypto`, and nothing here is a secret. */
function hash(text: string): string {
  let low = 0x811c9dc5
  let high = 0x9dc5811c
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ (code + 0x55), 0x01000193)
  }
  return [low, high].map((half) => (half >>> 0).toString(36)).join('')
}

/** The text itself when it fits, else its head and a hash of all of it (pitfalls R19, C7). */
export function shorten(text: string, most: number = MOST): string {
  if (text.length <= most) return text
  const mark = hash(text)
  return `${text.slice(0, most - mark.length - 1)}_${mark}`
}

export interface ToolNames {
  /** The name to send for a tool that the client knows by this identity. */
  toWire(tool: { name: string; namespace?: string | undefined; kind?: 'function' | 'custom' | undefined }): string
  /** Names that had to be changed, by the name that was sent. */
  readonly changed: ReadonlyMap<string, ToolIdentity>
}

/** Names of at most 64 letters, digits, `_` and `-`, unique within a request (pitfalls K1, K2, R6). */
export function createToolNames(): ToolNames {
  const sent = new Map<string, string>()
  const changed = new Map<string, ToolIdentity>()
  const taken = new Set<string>()
  return {
    changed,
    toWire({ name, namespace, kind = 'function' }) {
      const whole = namespace === undefined ? name : `${namespace}__${name}`
      const key = JSON.stringify([namespace, name])
      const known = sent.get(key)
      if (known !== undefined) return known
      const legal = whole.replace(/[^A-Za-z0-9_-]/g, '_')
      // A changed name gets the hash of the original, so that `a.b` and `a/b` stay apart.
      let wire = legal === whole && legal.length <= MOST ? legal : `${legal.slice(0, 49)}_${hash(whole)}`
      while (taken.has(wire)) wire = `${wire.slice(0, 49)}_${hash(key + wire)}`
      taken.add(wire)
      sent.set(key, wire)
      if (wire !== name) changed.set(wire, { name, kind, ...(namespace === undefined ? {} : { namespace }) })
      return wire
    },
  }
}
