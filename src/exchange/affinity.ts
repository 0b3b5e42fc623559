/**
 * What names a conversation, so that it stays where its prompt cache is. It may only choose a key: nothing is shared by it
 * (pitfall G3).
 * @module
 */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isObject, toFields } from '../hub/json.ts'
import type { Peek } from './peek.ts'

/** Headers by which known clients name their session. */
const SESSION_HEADERS = [
  'x-claude-code-session-id', 'x-session-id', 'x-session-affinity', 'session-id', 'session_id', 'thread-id',
  'x-conversation-id', 'conversation_id',
] as const

/** The session id that the client wrote itself, in a header or the body. */
export function readSession(headers: IncomingHttpHeaders, peeked: Peek | undefined): string | undefined {
  for (const name of SESSION_HEADERS) {
    const value = headers[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return [toFields(peeked?.read('metadata'))['user_id'], peeked?.read('prompt_cache_key')]
    .find((value) => typeof value === 'string' && value !== '') as string | undefined
}

/** `readSession`, else a hash of the system prompt and the first user turn: what stays the same for a whole conversation. */
export function readAffinity(headers: IncomingHttpHeaders, peeked: Peek | undefined): string {
  const session = readSession(headers, peeked)
  // Remembered for thousands of conversations, and a client may write a novel.
  if (session !== undefined) return session.length <= 200 ? session : createHash('sha256').update(session).digest('hex')
  if (peeked === undefined) return ''
  const hash = createHash('sha256')
  hash.update(JSON.stringify([peeked.read('system'), peeked.read('instructions')], toWords))
  const input = peeked.read('input')
  if (typeof input === 'string') hash.update(input)
  for (const turn of [...peeked.readHead('messages', 8), ...peeked.readHead('input', 8)]) {
    hash.update(JSON.stringify(turn, toWords))
    if (isObject(turn) && turn['role'] === 'user') break
  }
  return hash.digest('hex')
}

/** Cache marks move on from turn to turn, and what bears one is a block where it was text before. */
function toWords(name: string, value: unknown): unknown {
  if (name === 'cache_control') return undefined
  const only: unknown = Array.isArray(value) && value.length === 1 ? value[0] : undefined
  return isObject(only) && only['type'] === 'text' ? only['text'] : value
}
