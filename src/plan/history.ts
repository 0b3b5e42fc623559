/**
 * A client's conversation as alternating turns, and the hash chain that finds the live run which holds it.
 * Roles, text, media, call ids and results count; thinking and cache marks do not, since clients drop them.
 * @module
 */
import { createHash } from 'node:crypto'
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import type { Json, JsonObject } from '../hub/types.ts'

export interface Turn {
  role: 'user' | 'assistant'
  blocks: JsonObject[]
}

/** Hash of a conversation in which nothing was said yet. */
export const EMPTY_CHAIN = ''

/**
 * Turns in strict alternation, text strings as blocks, cache marks and empty texts taken off.
 * `dropped` collects the JSON paths of what was lost. @throws DarioError `invalid_request`
 */
export function readTurns(messages: Json | undefined, dropped: string[]): Turn[] {
  if (!Array.isArray(messages) || messages.length === 0) throw refuse('messages', 'send a list with at least one message')
  const turns: Turn[] = []
  for (const [index, message] of messages.entries()) {
    const path = `messages[${index}]`
    if (!isObject(message)) throw refuse(path, 'send an object')
    const role = message['role'] === 'assistant' ? 'assistant' : 'user'
    // lossy: the program has no place for a system turn inside the conversation; its words stay, as the user's
    if (message['role'] === 'system') dropped.push(`${path}.role`)
    else if (message['role'] !== role) throw refuse(`${path}.role`, 'use "user" or "assistant"')
    const blocks = readBlocks(message['content'], `${path}.content`, dropped)
    const last = turns.at(-1)
    if (last?.role === role) last.blocks.push(...blocks)
    else turns.push({ role, blocks })
  }
  return turns
}

const WORDS = ['type', 'text', 'id', 'name', 'tool_use_id'] as const

export function readBlocks(content: Json | undefined, path: string, dropped: string[]): JsonObject[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw refuse(path, 'send a string or a list of blocks')
  const blocks: JsonObject[] = []
  for (const [index, block] of content.entries()) {
    if (!isObject(block)) throw refuse(`${path}[${index}]`, 'send an object')
    const wrong = WORDS.find((name) => typeof (block[name] ?? '') !== 'string')
    if (wrong !== undefined) throw refuse(`${path}[${index}].${wrong}`, 'send a string')
    // lossy: the program sets its own cache marks
    if (block['cache_control'] != null) dropped.push(`${path}[${index}].cache_control`)
    if (block['type'] === 'text' && block['text'] === '') continue
    const { cache_control: _mark, ...rest } = block
    blocks.push(rest)
  }
  return blocks
}

/** One hash per turn, each over the conversation up to and with that turn. */
export function hashTurns(turns: readonly Turn[]): string[] {
  let chain = EMPTY_CHAIN
  return turns.map((turn) => (chain = chainTurn(chain, turn)))
}

export function chainTurn(before: string, turn: Turn): string {
  const hash = createHash('sha256').update(`${before}\n${turn.role}\n`)
  if (turn.role === 'assistant') hash.update(JSON.stringify([textOf(turn.blocks).trim(), callsOf(turn.blocks)]))
  else for (const block of turn.blocks) hash.update(JSON.stringify(toEssence(block)))
  return hash.digest('base64url')
}

export function callsOf(blocks: readonly JsonObject[]): string[] {
  return blocks.flatMap(({ type, id }) => type === 'tool_use' && typeof id === 'string' ? [id] : [])
}

/** Text of text blocks, joined without a separator: clients merge and split an answer's blocks as they like. */
export function textOf(blocks: readonly JsonObject[]): string {
  return blocks.map(({ type, text }) => type === 'text' && typeof text === 'string' ? text : '').join('')
}

/** The error for a value that is not as it must be, by its JSON path. */
export function refuse(path: string, remedy: string): DarioError {
  return new DarioError('invalid_request', `${path}: ${remedy}`, { path })
}

function toEssence(block: JsonObject): Json {
  switch (block['type']) {
    case 'text': return ['text', block['text'] ?? '']
    case 'tool_result': {
      const content = block['content'] ?? ''
      const plain = Array.isArray(content) && content.every((part) => isObject(part) && part['type'] === 'text')
      const text = plain ? textOf(content as JsonObject[]) : content
      return ['result', block['tool_use_id'] ?? '', block['is_error'] === true, text]
    }
    default: return [block['type'] ?? '', block['source'] ?? block]
  }
}
