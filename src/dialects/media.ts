/**
 * Pictures, files and sound: data URLs, which every API takes, and the parts that both of OpenAI's have.
 * @see https://www.rfc-editor.org/rfc/rfc2397
 * @module
 */
import type { BlockOf, JsonObject, Source } from '../hub/types.ts'
import { filled, obj, optionalStr } from './read.ts'

type Media = BlockOf<'media'>

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

/** Some SDKs send a file as bare base64. */
export function decodeFile(data: string, kind: Media['kind']): Media {
  return decodeUrl(/^[a-z][a-z0-9+.-]*:/i.test(data) ? data : `data:application/pdf;base64,${data}`, kind)
}

export function decodeAudio(part: JsonObject, path: string): Media {
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
