/**
 * Content of a message in OpenAI's two APIs as hub blocks: text, pictures, files, sound, and the shapes that vendors add.
 * Clients mix the two spellings up, so both are read wherever they come.
 * https://platform.openai.com/docs/api-reference
 * @module
 */
import { DarioError } from '../errors.ts'
import type { Block, BlockOf, Json, JsonObject } from '../hub/types.ts'
import { decodeAudio, decodeFile, decodeUrl } from './media.ts'
import { readErrorPrefix } from './openai.ts'
import { arr, defined, filled, isObject, joinTexts, obj, optionalObj, optionalStr, readCache, str } from './read.ts'

type Origin = 'chat' | 'responses'

export function decodeContent(content: Json | undefined, path: string, origin: Origin): Block[] {
  if (content === undefined || content === null) return []
  if (typeof content === 'string') return toBlocks(content)
  const parts = isObject(content) ? [content] : arr(content, path)
  return parts.flatMap((part, index) => decodePart(part, `${path}[${index}]`, origin))
}

export const toBlocks = (text: string): Block[] => text === '' ? [] : [{ type: 'text', text }]

/** K11: a tool's output may be text, parts, null, or any JSON. */
export function decodeToolContent(
  content: Json | undefined, path: string, origin: Origin,
): { content: Block[]; isError: boolean } {
  const isParts = isObject(content) ? 'type' in content
    : Array.isArray(content) && content.every((part) => typeof part === 'string' || (isObject(part) && 'type' in part))
  const blocks = content === null || content === undefined || typeof content === 'string' || isParts
    ? decodeContent(content, path, origin)
    : toBlocks(JSON.stringify(content))
  // Inside a result every part is something that the model should read, whatever the dialect's word for it.
  return readErrorPrefix(blocks.map((block) => {
    return block.type === 'opaque' ? { type: 'text', text: JSON.stringify(block.value) } : block
  }))
}

function decodePart(part: Json, path: string, origin: Origin): Block[] {
  if (typeof part === 'string') return toBlocks(part)
  const block = decodeObjectPart(obj(part, path), path, origin)
  const cache = readCache(part as JsonObject)
  if (cache !== undefined && (block.type === 'text' || block.type === 'media')) block.cache = cache
  return block.type === 'text' && block.text === '' ? [] : [block]
}

/** Kept as an unknown part, one of these would come out again as half an item. */
const ITEM_TYPE = /^(?:message|reasoning|(?:function_call|custom_tool_call)(?:_output)?)$/

function decodeObjectPart(part: JsonObject, path: string, origin: Origin): Block {
  const none = origin === 'chat' ? '' : undefined // Chat's clients write parts without a text
  const read = (member: string): string => str(part[member] ?? none, `${path}.${member}`)
  switch (part['type']) {
    case 'text':
    case 'input_text':
    case 'output_text':
    case 'summary_text': return { type: 'text', text: read('text') }
    case 'refusal': return { type: 'refusal', text: read('refusal') }
    case 'thinking': return { type: 'thinking', text: joinTexts(part['thinking'], '') } // Mistral
    case 'image_url':
    case 'input_image': {
      const image = optionalObj(part['image_url']) ?? part
      const [value, at] = image === part ? [part['image_url'], ''] : [image['url'], '.url']
      return defined({
        ...readMedia(value, part['file_id'], `${path}.image_url${at}`, 'image', origin),
        detail: optionalStr(image['detail']),
      })
    }
    case 'file':
    case 'input_file': {
      const file = optionalObj(part['file']) ?? part, at = part['type'] === 'file' ? `${path}.file` : path
      const media = readMedia(file['file_data'] ?? file['file_url'], file['file_id'], `${at}.file_data`, 'document', origin)
      return defined({ ...media, name: optionalStr(file['filename']) })
    }
    case 'input_audio': return decodeAudio(part, path)
    default: {
      const type = str(part['type'], `${path}.type`)
      if (!ITEM_TYPE.test(type)) return { type: 'opaque', origin, value: { ...part, type } }
      const message = `${path}.type: ${type} is an item of the input, not a part of a message`
      throw new DarioError('invalid_request', message, { path: `${path}.type` })
    }
  }
}

/** An id of a file that the vendor keeps, or the file itself. */
function readMedia(
  value: unknown, fileId: unknown, path: string, kind: 'image' | 'document', origin: Origin,
): BlockOf<'media'> {
  const id = optionalStr(fileId)
  if (value == null && id !== undefined) return { type: 'media', kind, source: { type: 'file', origin, id } }
  return kind === 'image' ? decodeUrl(filled(value, path), kind) : decodeFile(filled(value, path), kind)
}
