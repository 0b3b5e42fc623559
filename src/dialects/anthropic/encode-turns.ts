/**
 * The conversation of a hub request as Anthropic `system` and `messages`: alternating roles, results first, nothing
 * empty.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, BlockOf, HubRequest, Json, JsonObject, Source, Turn } from '../../hub/types.ts'
import { encodeCache, toLegal } from '../encoding.ts'
import type { Encoding } from '../encoding.ts'
import { defined, toText, unsupported } from '../read.ts'
import { writeInput, writeThinking } from './wire.ts'

export interface Message {
  role: 'user' | 'assistant'
  content: JsonObject[]
}

export function encodeTurns(request: HubRequest, encoding: Encoding): { system: JsonObject[]; messages: Message[] } {
  const first = request.turns.findIndex((turn) => turn.role !== 'system')
  const leading = first === -1 ? request.turns : request.turns.slice(0, first)
  const encode = (turn: Turn): JsonObject[] => turn.blocks.flatMap((block) => encodeBlock(block, turn, encoding))
  const system = leading.flatMap(encode)
  const messages: Message[] = []
  for (const turn of request.turns.slice(leading.length)) {
    // lossy: `system` has no place in the middle, so the words go to the next user turn, labelled (pitfall B4)
    const content = turn.role === 'system' ? encode(turn).map(labelSystem) : encode(turn)
    const role = turn.role === 'assistant' ? 'assistant' : 'user'
    const last = messages.at(-1)
    if (last?.role === role) for (const block of content) last.content.push(block) // all at once may be too many
    else if (content.length > 0 || (role === 'user' && turn === request.turns.at(-1))) messages.push({ role, content })
  }
  for (const message of messages) {
    message.content.sort((a, b) => Number(b['type'] === 'tool_result') - Number(a['type'] === 'tool_result')) // stable
    if (message.content.length === 0) message.content.push({ type: 'text', text: '(no text)' })
  }
  if (messages[0]?.role !== 'user') messages.unshift({ role: 'user', content: [{ type: 'text', text: '(no text)' }] })
  return { system, messages }
}

function labelSystem(block: JsonObject): JsonObject {
  return { ...block, text: `<system>\n${toText(block['text'])}\n</system>` }
}

function encodeBlock(block: Block, turn: Turn, encoding: Encoding): JsonObject[] {
  const path = turn.path ?? 'messages'
  const drop = (reason: string): JsonObject[] => encoding.drop(path, reason) ?? []
  switch (block.type) {
    case 'text':
    case 'refusal': { // lossy: an earlier refusal is only its words
      if (block.text.trim() === '') return [] // refused, and so is a cache mark on it (pitfalls B5, B6)
      const cache = block.type === 'text' ? block.cache : undefined
      return [{ type: 'text', text: block.text, ...encodeCache(cache, encoding.target) }]
    }
    case 'thinking': // whole or not at all; a foreign signature would be refused on every later turn (T2, T3)
      if (encoding.target.repairs.has('no_thinking_history')) return drop('this backend refused earlier reasoning')
      if (block.seal?.origin === 'anthropic') return [writeThinking(block)]
      return drop('reasoning of another vendor cannot be proven to Anthropic')
    case 'media':
      if (turn.role !== 'user') return drop(`Anthropic takes no pictures or files from the ${turn.role}`)
      return [{ ...encodeMedia(block, path), ...encodeCache(block.cache, encoding.target) }]
    case 'tool_use':
      return [{
        type: 'tool_use',
        id: toLegal(block.id, 128),
        name: encoding.names.toWire(block),
        input: writeInput(block),
        ...encodeCache(block.cache, encoding.target),
      }]
    case 'tool_result': return encodeResult(block, turn, encoding)
    case 'opaque':
      return block.origin === 'anthropic' ? [{ ...block.value }] : drop(`only the ${block.origin} dialect knows this item`)
    default: return block satisfies never
  }
}

function encodeResult(block: BlockOf<'tool_result'>, turn: Turn, encoding: Encoding): JsonObject[] {
  const readable = block.content.filter((part) => part.type !== 'thinking')
  const parts = readable.flatMap((part) => encodeBlock(part, { ...turn, role: 'user' }, encoding))
  // An error may hold text only; pictures of a failed tool follow it.
  const media = block.isError ? parts.filter((part) => part['type'] !== 'text') : []
  const content: Json[] = parts.filter((part) => !media.includes(part))
  return [
    {
      type: 'tool_result',
      tool_use_id: toLegal(block.toolUseId, 128),
      ...(content.length === 0 ? {} : { content }),
      ...(block.isError ? { is_error: true } : {}),
      ...encodeCache(block.cache, encoding.target),
    },
    ...media,
  ]
}

/** @throws DarioError `unsupported_across_dialects`: an attachment that silently vanished is worse (pitfall I2). */
function encodeMedia({ kind, source, name }: BlockOf<'media'>, path: string): JsonObject {
  if (kind === 'audio' || (source.type === 'file' && source.origin !== 'anthropic')) {
    const what = kind === 'audio' ? 'sound' : 'a file id of another vendor'
    unsupported(path, `Anthropic models take no ${what}; send text, an image or a PDF`)
  }
  const wire = encodeSource(source, path)
  // What is text, such as an SVG, is no picture here.
  const isImage = kind === 'image' && wire['type'] !== 'text'
    && (source.type !== 'base64' || source.mediaType.startsWith('image/'))
  if (!isImage && wire['type'] === 'base64' && wire['media_type'] !== 'application/pdf')
    unsupported(path, `Anthropic models take no ${toText(wire['media_type'])}; send text, an image or a PDF`)
  return isImage ? { type: 'image', source: wire } : defined({ type: 'document', source: wire, title: name })
}

function encodeSource(source: Source, path: string): JsonObject {
  switch (source.type) {
    case 'url': return { type: 'url', url: source.url }
    case 'file': return { type: 'file', file_id: source.id }
    case 'text': return { type: 'text', media_type: 'text/plain', data: source.text }
    case 'base64': {
      // Anthropic takes these as text only. An office file is none, though `openxml` is in its name.
      const isText = /^text\/|[/+](?:x-)?(?:nd)?(?:json|xml|yaml)/.test(source.mediaType)
      if (!isText) return { type: 'base64', media_type: source.mediaType, data: source.data }
      return { type: 'text', media_type: 'text/plain', data: decodeText(source.data, path) }
    }
    default: return source satisfies never
  }
}

function decodeText(base64: string, path: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)))
  } catch (cause) {
    throw new DarioError('invalid_request', `${path}: the file's data is not base64`, { path, cause })
  }
}
