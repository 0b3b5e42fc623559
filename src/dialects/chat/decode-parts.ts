/**
 * Content of a Chat message as hub blocks: text, pictures, files, sound, and the shapes that vendors add.
 * @module
 */
import type { Block, Json, JsonObject, Source, Warning } from '../../hub/types.ts'
import { isObject, optionalArr, optionalObj, optionalStr } from '../read.ts'

/**
 * Marks a failed tool's text, because Chat has no field for it (pitfall K10); read back as the flag. Odd enough that no
 * tool prints it by chance.
 */
export const ERROR_PREFIX = '[tool error] '

export function decodeContent(content: Json | undefined, path: string, warnings: Warning[]): Block[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  const parts = isObject(content) ? [content] : optionalArr(content) ?? []
  return parts.flatMap((part, index) => decodePart(part, `${path}[${index}]`, warnings))
}

/** K11: a tool's output may be text, parts, null, or any JSON. */
export function decodeToolContent(
  content: Json | undefined, path: string, warnings: Warning[],
): { content: Block[]; isError: boolean } {
  const isParts = isObject(content) ? 'type' in content
    : Array.isArray(content) && content.every((part) => typeof part === 'string' || (isObject(part) && 'type' in part))
  const blocks = content === null || content === undefined || typeof content === 'string' || isParts
    ? decodeContent(content, path, warnings)
    : [{ type: 'text', text: JSON.stringify(content) } as const]
  const whole = blocks.map((block): Block => {
    return block.type === 'opaque' ? { type: 'text', text: JSON.stringify(block.value) } : block
  })
  const first = whole[0]
  if (first?.type !== 'text' || !first.text.startsWith(ERROR_PREFIX)) return { content: whole, isError: false }
  return { content: [{ ...first, text: first.text.slice(ERROR_PREFIX.length) }, ...whole.slice(1)], isError: true }
}

function decodePart(part: Json, path: string, warnings: Warning[]): Block[] {
  if (typeof part === 'string') return part === '' ? [] : [{ type: 'text', text: part }]
  if (!isObject(part)) return []
  const block = decodeObjectPart(part)
  if (block === undefined) {
    warnings.push({ path, reason: 'empty or unreadable content part' })
    return []
  }
  const mark = optionalObj(part['cache_control'])
  if (mark !== undefined && (block.type === 'text' || block.type === 'media')) {
    block.cache = { ttl: optionalStr(mark['ttl']) }
  }
  return block.type === 'text' && block.text === '' ? [] : [block]
}

function decodeObjectPart(part: JsonObject): Block | undefined {
  switch (part['type']) {
    case 'text':
    case 'input_text':
    case 'output_text': return { type: 'text', text: optionalStr(part['text']) ?? '' }
    case 'refusal': return { type: 'refusal', text: optionalStr(part['refusal']) ?? '' }
    case 'thinking': { // Mistral
      return { type: 'thinking', text: readText(part['thinking']) }
    }
    case 'image_url': {
      const image = optionalObj(part['image_url'])
      const url = optionalStr(part['image_url']) ?? optionalStr(image?.['url'])
      const detail = optionalStr(image?.['detail'])
      return url === undefined ? undefined : { ...decodeUrl(url, 'image'), ...(detail === undefined ? {} : { detail }) }
    }
    case 'file': return decodeFile(optionalObj(part['file']) ?? part)
    case 'input_audio': {
      const audio = optionalObj(part['input_audio'])
      const data = optionalStr(audio?.['data'])
      if (data === undefined) return undefined
      const format = optionalStr(audio?.['format']) ?? 'wav'
      const mediaType = format === 'mp3' ? 'audio/mpeg' : `audio/${format}`
      return { type: 'media', kind: 'audio', source: { type: 'base64', mediaType, data } }
    }
    default: return { type: 'opaque', origin: 'chat', value: part }
  }
}

/** Text that is a string or a list of text parts. */
export function readText(value: Json | undefined): string {
  if (typeof value === 'string') return value
  return (optionalArr(value) ?? []).filter(isObject).map((part) => optionalStr(part['text']) ?? '').join('')
}

type Media = Extract<Block, { type: 'media' }>

function decodeFile(file: JsonObject): Media | undefined {
  const data = optionalStr(file['file_data']), id = optionalStr(file['file_id']), name = optionalStr(file['filename'])
  const named = name === undefined ? {} : { name }
  if (data !== undefined) {
    const isUrl = /^(?:data:|https?:)/i.test(data) // some clients send bare base64
    const url = isUrl ? data : `data:application/pdf;base64,${data}`
    return { ...decodeUrl(url, 'document'), ...named }
  }
  if (id === undefined) return undefined
  return { type: 'media', kind: 'document', source: { type: 'file', origin: 'chat', id }, ...named }
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
