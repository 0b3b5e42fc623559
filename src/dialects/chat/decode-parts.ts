/**
 * Content of a Chat message as hub blocks: text, pictures, files, sound, and the shapes that vendors add.
 * @module
 */
import type { Block, Json, JsonObject, Source } from '../../hub/types.ts'
import { decodeAudio, readErrorPrefix } from '../openai.ts'
import { arr, defined, filled, isObject, obj, optionalArr, optionalObj, optionalStr, readCache, str } from '../read.ts'

export function decodeContent(content: Json | undefined, path: string): Block[] {
  if (content === undefined || content === null) return []
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  const parts = isObject(content) ? [content] : arr(content, path)
  return parts.flatMap((part, index) => decodePart(part, `${path}[${index}]`))
}

/** K11: a tool's output may be text, parts, null, or any JSON. */
export function decodeToolContent(content: Json | undefined, path: string): { content: Block[]; isError: boolean } {
  const isParts = isObject(content) ? 'type' in content
    : Array.isArray(content) && content.every((part) => typeof part === 'string' || (isObject(part) && 'type' in part))
  const blocks = content === null || content === undefined || typeof content === 'string' || isParts
    ? decodeContent(content, path)
    : [{ type: 'text', text: JSON.stringify(content) } as const]
  const whole = blocks.map((block): Block => {
    return block.type === 'opaque' ? { type: 'text', text: JSON.stringify(block.value) } : block
  })
  return readErrorPrefix(whole)
}

function decodePart(part: Json, path: string): Block[] {
  if (typeof part === 'string') return part === '' ? [] : [{ type: 'text', text: part }]
  const block = decodeObjectPart(obj(part, path), path)
  const cache = readCache(part as JsonObject)
  if (cache !== undefined && (block.type === 'text' || block.type === 'media')) block.cache = cache
  return block.type === 'text' && block.text === '' ? [] : [block]
}

function decodeObjectPart(part: JsonObject, path: string): Block {
  switch (part['type']) {
    case 'text':
    case 'input_text':
    case 'output_text': return { type: 'text', text: str(part['text'] ?? '', `${path}.text`) }
    case 'refusal': return { type: 'refusal', text: str(part['refusal'] ?? '', `${path}.refusal`) }
    case 'thinking': return { type: 'thinking', text: readText(part['thinking']) } // Mistral
    case 'image_url': {
      const image = optionalObj(part['image_url'])
      const url = image === undefined ? filled(part['image_url'], `${path}.image_url`) : filled(image['url'], `${path}.image_url.url`)
      return defined({ ...decodeUrl(url, 'image'), detail: optionalStr(image?.['detail']) })
    }
    case 'file': return decodeFile(optionalObj(part['file']) ?? part, `${path}.file`)
    case 'input_audio': return decodeAudio(part, path)
    default:
      str(part['type'], `${path}.type`)
      return { type: 'opaque', origin: 'chat', value: part }
  }
}

/** Text that is a string or a list of text parts. */
export function readText(value: Json | undefined): string {
  if (typeof value === 'string') return value
  return (optionalArr(value) ?? []).filter(isObject).map((part) => optionalStr(part['text']) ?? '').join('')
}

type Media = Extract<Block, { type: 'media' }>

function decodeFile(file: JsonObject, path: string): Media {
  const id = optionalStr(file['file_id']), name = optionalStr(file['filename'])
  const named = name === undefined ? {} : { name }
  if (id !== undefined) return { type: 'media', kind: 'document', source: { type: 'file', origin: 'chat', id }, ...named }
  const data = filled(file['file_data'], `${path}.file_data`)
  const isUrl = /^(?:data:|https?:)/i.test(data) // some clients send bare base64
  return { ...decodeUrl(isUrl ? data : `data:application/pdf;base64,${data}`, 'document'), ...named }
}

/** A data URL is read by its own media type, whatever field it came in: PDFs travel in `image_url` too (pitfall I3). */
function decodeUrl(url: string, kind: Media['kind']): Media {
  const comma = url.startsWith('data:') ? url.indexOf(',') : -1
  if (comma === -1) return { type: 'media', kind, source: { type: 'url', url } } // never fetched by us (I5)
  const [mediaType = '', ...options] = url.slice('data:'.length, comma).split(';')
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
