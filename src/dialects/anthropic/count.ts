/**
 * An estimate for `POST /v1/messages/count_tokens` where no vendor counts: clients decide by it when to compact their
 * history, so it must be near the truth and cheap (pitfalls N3, N4).
 * @see https://docs.claude.com/en/api/messages-count-tokens
 * @module
 */
import type { Json, JsonObject } from '../../hub/types.ts'
import { isObject, optionalArr, optionalStr } from '../read.ts'
import { readFamily } from './family.ts'

const PER_MESSAGE = 4
const PER_TOOL = 12
const TOOLS_PROMPT = 340 // Anthropic's own instructions on tools, from its pricing page
const MAX_EDGE = 1568 // larger pictures are scaled down to it
const MAX_IMAGE = 1600
const UNKNOWN_IMAGE = 1400 // by URL or of an unknown format
const PER_PDF_PAGE = 2200 // a page is read as text and as a picture
const HEADER_CHARS = 262_144 // of base64: the size may stand behind a large EXIF block

/** Tokens of a Messages request: system, tools, the whole history, pictures and PDFs. */
export function estimateTokens(body: JsonObject): number {
  const { version = 0 } = readFamily(optionalStr(body['model']) ?? '')
  const tools = optionalArr(body['tools']) ?? []
  let tokens = 3 + countContent(body['system'], version)
  for (const message of optionalArr(body['messages']) ?? []) {
    tokens += PER_MESSAGE + (isObject(message) ? countContent(message['content'], version) : 0)
  }
  if (tools.length > 0) tokens += TOOLS_PROMPT
  for (const tool of tools) tokens += PER_TOOL + countText(JSON.stringify(tool))
  return Math.ceil(version >= 4.7 ? tokens * 1.2 : tokens) // a finer tokenizer from 4.7 on: 1 to 1.35 times as many
}

function countContent(content: Json | undefined, version: number): number {
  if (typeof content === 'string') return countText(content)
  let tokens = 0
  for (const block of optionalArr(content) ?? []) if (isObject(block)) tokens += countBlock(block, version)
  return tokens
}

function countBlock(block: JsonObject, version: number): number {
  switch (block['type']) {
    case 'text': return countText(optionalStr(block['text']) ?? '')
    case 'thinking': // earlier reasoning is taken out before older models read
      return version >= 4.5 ? countText(optionalStr(block['thinking']) ?? '') : 0
    case 'redacted_thinking': return 0
    case 'image': return countImage(block['source'])
    case 'document': return countDocument(block['source'], version)
    case 'tool_use':
      return PER_TOOL + countText(optionalStr(block['name']) ?? '') + countText(JSON.stringify(block['input'] ?? {}))
    case 'tool_result': return PER_TOOL + countContent(block['content'], version)
    default: return countText(JSON.stringify(block))
  }
}

/** Tokens of the first character of a run, and of each further one. */
interface Run { first: number; more: number }

/** Fitted, as the numbers below, to recorded answers and their `output_tokens`: within 10 % on prose and JSON. */
const WORD: Run = { first: 0.715, more: 0.115 }
const NUMBER: Run = { first: 0.7, more: 0.3 }
const LINES: Run = { first: 0.5, more: 0.1 }

function countText(text: string): number {
  let tokens = 0
  let last: Run | undefined
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    const isLetter = (code | 32) >= 97 && (code | 32) <= 122
    const run = isLetter ? WORD : code >= 48 && code <= 57 ? NUMBER : code === 10 ? LINES : undefined
    if (run !== undefined) tokens += run === last ? run.more : run.first
    else if (code > 127) tokens += code >= 0x2e80 ? 1.1 : 0.6 // CJK, emoji halves | accents, Cyrillic …
    else if (code > 32) tokens += 0.75
    last = run
  }
  return tokens
}

function countDocument(source: Json | undefined, version: number): number {
  if (!isObject(source)) return 0
  const data = optionalStr(source['data']) ?? ''
  if (source['type'] === 'text') return countText(data)
  if (source['type'] === 'content') return countContent(source['content'], version)
  const pages = data === '' ? 10 : (toBytes(data).match(/\/Type\s*\/Page\b/g)?.length ?? 0)
  return PER_PDF_PAGE * Math.max(pages, Math.ceil(data.length / 200_000), 1) // page marks may be compressed
}

function countImage(source: Json | undefined): number {
  const data = isObject(source) ? optionalStr(source['data']) : undefined
  const size = data === undefined ? undefined : readImageSize(toBytes(data.slice(0, HEADER_CHARS)))
  if (size === undefined) return UNKNOWN_IMAGE
  const scale = Math.min(1, MAX_EDGE / Math.max(size.width, size.height, 1))
  return Math.min(MAX_IMAGE, (size.width * size.height * scale * scale) / 750)
}

const toBytes = (base64: string): string => Buffer.from(base64, 'base64').toString('latin1')

/** Pixels from the header of a PNG, GIF, WebP or JPEG file, given one character per byte. */
function readImageSize(bytes: string): { width: number; height: number } | undefined {
  const at = (index: number): number => (index < bytes.length ? bytes.charCodeAt(index) : 0)
  const big = (index: number): number => at(index) * 256 + at(index + 1)
  const little = (index: number): number => at(index) + at(index + 1) * 256
  if (bytes.startsWith('\x89PNG')) return { width: big(16) * 65536 + big(18), height: big(20) * 65536 + big(22) }
  if (bytes.startsWith('GIF8')) return { width: little(6), height: little(8) }
  if (bytes.startsWith('RIFF') && bytes.startsWith('WEBP', 8)) {
    const kind = bytes.slice(12, 16)
    if (kind === 'VP8X') return { width: 1 + little(24) + at(26) * 65536, height: 1 + little(27) + at(29) * 65536 }
    if (kind === 'VP8 ') return { width: little(26) & 0x3fff, height: little(28) & 0x3fff }
    return { width: 1 + (little(21) & 0x3fff), height: 1 + ((little(22) >> 6) | ((at(24) & 0x0f) << 10)) }
  }
  if (!bytes.startsWith('\xff\xd8')) return undefined
  for (let index = 2; index < bytes.length && at(index) === 0xff; index += 2 + big(index + 2)) {
    const marker = at(index + 1)
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame) return { width: big(index + 7), height: big(index + 5) }
  }
  return undefined
}
