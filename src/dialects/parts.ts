/**
 * Parts of messages: data URLs, which every API takes, and the content of OpenAI's two as hub blocks: text, pictures,
 * files, sound, and the shapes that vendors add. Clients mix the two spellings up, so both are read wherever they come.
 * @see https://www.rfc-editor.org/rfc/rfc2397
 * @module
 */
import { DarioError } from '../errors.ts'
import type { Block, BlockOf, Json, JsonObject, Source } from '../hub/types.ts'
import { arr, defined, filled, isObject, joinTexts, obj, optionalObj, optionalStr, readCache, str } from './read.ts'

type Origin = 'chat' | 'responses'
type Media = BlockOf<'media'>

export function decodeContent(content: Json | undefined, path: string, origin: Origin): Block[] {
  if (content === undefined || content === null) return []
  if (typeof content === 'string') return toBlocks(content)
  const parts = isObject(content) ? [content] : arr(content, path)
  return parts.flatMap((part, index) => decodePart(part, `${path}[${index}]`, origin))
}

/**
 * Marks a failed tool's text, because these APIs have no field for it (pitfall K10); read back as the flag. Odd enough
 * that no tool prints it by chance.
 */
export const ERROR_PREFIX = '[tool error] '

function readErrorPrefix(content: Block[]): { content: Block[]; isError: boolean } {
  const [first, ...rest] = content
  if (first?.type !== 'text' || !first.text.startsWith(ERROR_PREFIX)) return { content, isError: false }
  return { content: [{ ...first, text: first.text.slice(ERROR_PREFIX.length) }, ...rest], isError: true }
}

export const toBlocks = (text: string): Block[] => text === '' ? [] : [{ type: 'text', text }]

/** K11: a tool's output may be text, parts, null, or any JSON. */
export function decodeToolContent(
  content: Json | undefined, path: string, origin: Origin,
): { content: Block[]; isError: boolean } {
  const isPart = (part: Json): boolean => typeof part === 'string' || isObject(part) && 'type' in part
  const isContent = content == null || (Array.isArray(content) ? content : [content]).every(isPart)
  const blocks = isContent ? decodeContent(content, path, origin) : toBlocks(JSON.stringify(content))
  // Inside a result every part is something that the model should read, whatever the dialect's word for it.
  return readErrorPrefix(blocks.map((block) => {
    return block.type === 'opaque' ? { type: 'text', text: JSON.stringify(block.value) } : block
  }))
}

export function decodePart(part: Json, path: string, origin: Origin): Block[] {
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
    case 'image': { // Anthropic's, by Cursor, and MCP's, in results of tools
      const source = optionalObj(part['source']) ?? part, data = optionalStr(source['data'])
      const mediaType = optionalStr(source['media_type']) ?? optionalStr(source['mimeType']) ?? 'image/png'
      const url = data ? `data:${mediaType};base64,${data}` : optionalStr(source['url'])
      return url ? decodeUrl(url, 'image') : { type: 'opaque', origin, value: { ...part, type: 'image' } }
    }
    case 'file':
    case 'input_file': {
      const file = optionalObj(part['file']) ?? part, at = part['type'] === 'file' ? `${path}.file` : path
      const data = file['file_data'] ?? file['file_url']
      const media = readMedia(data, file['file_id'], `${at}.file_data`, 'document', origin)
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
): Media {
  const id = optionalStr(fileId)
  if (value == null && id !== undefined) return { type: 'media', kind, source: { type: 'file', origin, id } }
  const url = filled(value, path)
  const isBare = kind === 'document' && !/^[a-z][a-z0-9+.-]*:/i.test(url) // some SDKs send a file as bare base64
  return decodeUrl(isBare ? `data:application/pdf;base64,${url}` : url, kind)
}

/** A data URL is read by its own media type, whatever field it came in: PDFs travel in `image_url` too (pitfall I3). */
export function decodeUrl(url: string, kind: Media['kind']): Media {
  const comma = /^data:/i.test(url) ? url.indexOf(',') : -1
  if (comma === -1) return { type: 'media', kind, source: { type: 'url', url } } // never fetched by us (I5)
  const [mediaType = '', ...options] = url.slice('data:'.length, comma).toLowerCase().split(';')
  const data = url.slice(comma + 1)
  const source: Source = options.includes('base64')
    ? { type: 'base64', mediaType: mediaType || 'application/octet-stream', data }
    : { type: 'text', mediaType: mediaType || 'text/plain', text: decodePercent(data) }
  const real = mediaType.startsWith('image/') ? 'image'
    : mediaType.startsWith('audio/') ? 'audio'
    : mediaType === '' ? kind : 'document'
  return { type: 'media', kind: real, source }
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function decodeAudio(part: JsonObject, path: string): Media {
  const audio = obj(part['input_audio'], `${path}.input_audio`)
  const format = optionalStr(audio['format']) ?? 'wav'
  const mediaType = `audio/${format === 'mp3' ? 'mpeg' : format}`
  const data = filled(audio['data'], `${path}.input_audio.data`)
  return { type: 'media', kind: 'audio', source: { type: 'base64', mediaType, data } }
}

export function encodeAudio({ mediaType, data }: Extract<Source, { type: 'base64' }>): JsonObject {
  const format = mediaType === 'audio/mpeg' ? 'mp3' : mediaType.replace(/^audio\/(?:x-)?/, '')
  return { type: 'input_audio', input_audio: { data, format } }
}

export function toUrl(source: Extract<Source, { type: 'base64' | 'url' }>): string {
  return source.type === 'url' ? source.url : `data:${source.mediaType};base64,${source.data}` // I1
}
