/**
 * Content of a Chat message as hub blocks: text, pictures, files, sound, and the shapes that vendors add.
 * @module
 */
import type { Block, BlockOf, Json, JsonObject } from '../../hub/types.ts'
import { decodeAudio, decodeFile, decodeUrl } from '../media.ts'
import { readErrorPrefix } from '../openai.ts'
import { arr, defined, filled, isObject, joinTexts, obj, optionalObj, optionalStr, readCache, str } from '../read.ts'

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
    case 'thinking': return { type: 'thinking', text: joinTexts(part['thinking'], '') } // Mistral
    case 'image_url': {
      const image = optionalObj(part['image_url'])
      const [value, of] = image === undefined ? [part['image_url'], ''] : [image['url'], '.url']
      const url = filled(value, `${path}.image_url${of}`)
      return defined({ ...decodeUrl(url, 'image'), detail: optionalStr(image?.['detail']) })
    }
    case 'file': return readFile(optionalObj(part['file']) ?? part, `${path}.file`)
    case 'input_audio': return decodeAudio(part, path)
    default:
      str(part['type'], `${path}.type`)
      return { type: 'opaque', origin: 'chat', value: part }
  }
}

function readFile(file: JsonObject, path: string): Block {
  const id = optionalStr(file['file_id']), name = optionalStr(file['filename'])
  const media: BlockOf<'media'> = id === undefined
    ? decodeFile(filled(file['file_data'], `${path}.file_data`), 'document')
    : { type: 'media', kind: 'document', source: { type: 'file', origin: 'chat', id } }
  return defined({ ...media, name })
}
