/**
 * Anthropic Messages: blocks and usage, between the wire and the hub, as requests and answers share them.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import type { Block, BlockOf, Json, JsonObject, Seal, Source, StopReason, Usage } from '../../hub/types.ts'
import { packSeal, unpackSeal } from '../../hub/seal.ts'
import { toLegal } from '../encoding.ts'
import { decodeUrl } from '../parts.ts'
import { filled, joinTexts, optionalStr, parseObject, str } from '../read.ts'

/** The per-request line that Claude Code puts at the head of its system prompt, for Anthropic only. */
export const BILLING_HEADER = 'x-anthropic-billing-header:'

export function readSeal(signature: Json | undefined): Seal | undefined {
  if (typeof signature !== 'string' || signature === '') return undefined
  return unpackSeal(signature) ?? { origin: 'anthropic', value: signature }
}

export function toSignature(seal: Seal | undefined): string {
  return seal === undefined ? '' : seal.origin === 'anthropic' ? seal.value : packSeal(seal)
}

/** A thinking or redacted block; one whose text is empty and whose seal is foreign never had a text. */
export function readThinking(block: JsonObject): BlockOf<'thinking'> {
  const text = optionalStr(block['thinking']) ?? ''
  const seal = readSeal(block['type'] === 'redacted_thinking' ? block['data'] : block['signature'])
  const redacted =
    block['type'] === 'redacted_thinking' || (text === '' && seal !== undefined && seal.origin !== 'anthropic')
  return { type: 'thinking', text, seal, ...(redacted ? { redacted } : {}) }
}

export function writeThinking(block: BlockOf<'thinking'>): JsonObject {
  if (block.redacted === true && block.seal?.origin === 'anthropic')
    return { type: 'redacted_thinking', data: block.seal.value }
  return { type: 'thinking', thinking: block.text, signature: toSignature(block.seal) }
}

/** Tool input as JSON text: what is not an object is kept as it is (pitfall K8). */
export function readInput(input: Json | undefined): string {
  return typeof input === 'string' ? input : JSON.stringify(input ?? {})
}

/** lossy: the wire wants an object, so number spelling is normalised and invalid JSON is wrapped, never dropped. */
export function writeInput(block: BlockOf<'tool_use'>): JsonObject {
  if (block.kind === 'custom') return { input: block.input }
  if (block.input.trim() === '') return {}
  return parseObject(block.input) ?? { invalid_json: block.input }
}

/** An image or a document. @throws DarioError `invalid_request` when its source has no data. */
export function readMedia(kind: 'image' | 'document', source: JsonObject, path: string): BlockOf<'media'> {
  if (source['type'] === 'url') return decodeUrl(filled(source['url'], `${path}.url`), kind)
  return { type: 'media', kind, source: readSource(source, path) }
}

function readSource(value: JsonObject, path: string): Source {
  switch (value['type']) {
    case 'base64': {
      const mediaType = str(value['media_type'], `${path}.media_type`)
      return { type: 'base64', mediaType, data: filled(value['data'], `${path}.data`) }
    }
    case 'file': return { type: 'file', origin: 'anthropic', id: str(value['file_id'], `${path}.file_id`) }
    case 'content': return { type: 'text', mediaType: 'text/plain', text: joinTexts(value['content'], '\n') }
    default: {
      const mediaType = optionalStr(value['media_type']) ?? 'text/plain'
      return { type: 'text', mediaType, text: str(value['data'], `${path}.data`) }
    }
  }
}

/** Every member is there, because SDKs read them without asking (pitfall S32). */
export function writeUsage(usage: Partial<Usage>): JsonObject {
  const { cacheWrite = 0, cacheWriteHour: hour } = usage
  return {
    input_tokens: usage.input ?? 0,
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: usage.cacheRead ?? 0,
    ...(hour === undefined ? {} : {
      cache_creation: { ephemeral_5m_input_tokens: cacheWrite - hour, ephemeral_1h_input_tokens: hour },
    }),
    output_tokens: usage.output ?? 0,
    ...(usage.reasoning === undefined ? {} : { output_tokens_details: { thinking_tokens: usage.reasoning } }),
  }
}

/** A block of an answer on the wire, whole; undefined for what an Anthropic client cannot be shown. */
export function writeReplyBlock(block: Block): JsonObject | undefined {
  switch (block.type) {
    case 'text':
    case 'refusal': // lossy: Anthropic says it by its stop reason
      return { type: 'text', text: block.text }
    case 'thinking': return writeThinking(block)
    case 'tool_use': // the id comes back with the history, and the next turn may be Anthropic's, which refuses `f.g:0`
      return { type: 'tool_use', id: toLegal(block.id, 128), name: block.name, input: writeInput(block) }
    case 'opaque': // lossy: another vendor's own items mean nothing here
      return block.origin === 'anthropic' ? block.value : undefined
    case 'media': // lossy: answers of this dialect have no pictures
    case 'tool_result': return undefined
    default: return block satisfies never
  }
}

/** Clients loop on this word, so it must agree with the blocks (pitfalls S12, S13). */
export function toStop(stop: StopReason, hasTool: boolean): StopReason {
  if (hasTool) return stop === 'end_turn' ? 'tool_use' : stop
  return stop === 'tool_use' ? 'end_turn' : stop
}
