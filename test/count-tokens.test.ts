import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { countText, estimateTokens, readImageSize } from '../src/dialects/anthropic/count.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import { foldEvents } from '../src/hub/fold.ts'
import type { Json, JsonObject } from '../src/hub/types.ts'
import { listFixtures, readEvents, readWhole } from './helpers/fixtures.ts'

const count = (content: Json, more: JsonObject = {}): number => estimateTokens({ model: 'claude-sonnet-4-5', messages: [{ role: 'user', content }], ...more })
const base64 = (...bytes: number[]): string => Buffer.from([...bytes, ...Array<number>(40).fill(0)]).toString('base64')
const image = (data: string): Json => [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }]
const png = (width: number, height: number): string => {
  const bytes = Buffer.alloc(33)
  bytes.write('\x89PNG\r\n\x1a\n', 'latin1')
  bytes.writeUInt32BE(width, 16)
  bytes.writeUInt32BE(height, 20)
  return bytes.toString('base64')
}

test('N4: recorded answers of text alone are counted within 15 % of what Anthropic counted', () => {
  let checked = 0
  const check = (name: string, blocks: ReturnType<typeof foldEvents>): void => {
    const [block] = blocks.blocks
    if (blocks.blocks.length !== 1 || block?.type !== 'text') return
    const estimate = countText(block.text)
    ok(Math.abs(estimate / blocks.usage.output - 1) <= 0.15, `${name}: ${estimate} for ${blocks.usage.output}`)
    checked++
  }
  const context = { toolNames: new Map(), newId: String }
  for (const name of listFixtures('anthropic', 'whole')) check(name, foldEvents(anthropicDialect.decodeReply(readWhole('anthropic', name), context)))
  for (const name of listFixtures('anthropic', 'stream').filter((name) => !name.includes('spliced'))) {
    const decoder = anthropicDialect.createStreamDecoder(context)
    check(name, foldEvents(readEvents('anthropic', name).flatMap((data) => decoder.push({ event: undefined, data: JSON.stringify(data) }))))
  }
  ok(checked >= 6, `${checked} checked`)
})

test('N4: system, tools and the whole history count', () => {
  const base = count('hi')
  ok(count('hi', { system: 'You are a careful assistant.' }) > base + 4)
  ok(count('hi', { tools: [{ name: 'f', description: 'does it', input_schema: { type: 'object', properties: {} } }] }) > base + 340)
  const long = 'word '.repeat(1000)
  const history = estimateTokens({ messages: [{ role: 'user', content: long }, { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: { x: long } }] }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: long }] }] }] })
  ok(history > 2.9 * count(long))
})

test('N4: a picture counts by its pixels', () => {
  const tokens = (data: string): number => count(image(data)) - count([])
  ok(Math.abs(tokens(png(750, 1000)) - 1000) <= 1)
  ok(tokens(png(8000, 8000)) <= 1601)
  ok(tokens('not a picture') > 1000)
  ok(tokens(png(10, 10)) < 5)
})

test('count: sizes are read from the headers of each format', () => {
  const size = (data: string) => readImageSize(Buffer.from(data, 'base64').toString('latin1'))
  deepStrictEqual(size(png(3, 70_000)), { width: 3, height: 70_000 })
  deepStrictEqual(size(base64(...Buffer.from('GIF89a'), 0x40, 0x01, 0xf0, 0x00)), { width: 320, height: 240 })
  const riff = (kind: string, ...rest: number[]) => base64(...Buffer.from('RIFF\0\0\0\0WEBP'), ...Buffer.from(kind), ...rest)
  deepStrictEqual(size(riff('VP8X', 0, 0, 0, 0, 0, 0, 0, 0, 0x3f, 0x01, 0x00, 0xef, 0x00, 0x00)), { width: 320, height: 240 })
  deepStrictEqual(size(riff('VP8 ', 0, 0, 0, 0, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00)), { width: 320, height: 240 })
  deepStrictEqual(size(riff('VP8L', 0, 0, 0, 0, 0x2f, 0x3f, 0xc1, 0x3b, 0x00)), { width: 320, height: 240 })
  deepStrictEqual(size(base64(0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xc4, 0, 2, 0xff, 0xc0, 0, 17, 8, 0, 240, 1, 64)), { width: 320, height: 240 })
  strictEqual(size(base64(1, 2, 3)), undefined)
  strictEqual(size(''), undefined)
})

test('N4: a PDF counts by its pages, a text document by its words', () => {
  const pdf = (pages: number): Json => [{ type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: btoa(`%PDF ${'/Type /Page '.repeat(pages)} /Type /Pages`) } }]
  strictEqual(count(pdf(3)) - count([]), 3 * 2200)
  ok(count([{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'one two' } }]) < 20)
})

test('count: newer models have a finer tokenizer', () => {
  const content = 'word '.repeat(1000)
  ok(count(content, { model: 'claude-opus-4-7' }) > 1.15 * count(content))
})

test('count: nonsense does not fail and never counts 0', () => {
  for (const body of [{}, { messages: null }, { messages: [1, null, { content: 7 }], tools: [null], system: 5 }, { messages: [{ content: [null, { type: 'image' }, { type: 'document' }] }] }]) {
    ok(estimateTokens(body as JsonObject) > 0)
  }
})

test('N3: a megabyte is counted in a moment', () => {
  const text = 'the quick brown fox, 42\n'.repeat(42_000)
  const started = process.cpuUsage()
  count(text)
  ok(process.cpuUsage(started).user < 1_000_000)
})
