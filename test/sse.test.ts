import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { createSseDecoder, encodeSse } from '../src/sse.ts'
import type { SseEvent } from '../src/sse.ts'
import { cutAnywhere, forAll } from './helpers/property.ts'

function decodeAll(...chunks: string[]): SseEvent[] {
  const decoder = createSseDecoder()
  return [...chunks.flatMap((chunk) => decoder.push(chunk)), ...decoder.end()]
}

const TEXT = ': hello\r\n\r\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\nid: 3\nretry: 9\ndata\n\nevent:b\rdata: {"x": "a: b"}\r\rdata: tail'

test('sse: fields, comments, several data lines and all three line ends decode', () => {
  deepStrictEqual(decodeAll(TEXT), [
    { event: 'a', data: '1\n2' },
    { event: undefined, data: '' },
    { event: 'b', data: '{"x": "a: b"}' },
    { event: undefined, data: 'tail' },
  ])
})

test('sse: any cutting of the text gives the same events', async () => {
  await forAll((random) => cutAnywhere(TEXT, random), (chunks) => deepStrictEqual(decodeAll(...chunks), decodeAll(TEXT)))
  deepStrictEqual(decodeAll(...TEXT), decodeAll(TEXT))
})

test('sse: a CRLF cut between two chunks is one line end', () => {
  deepStrictEqual(decodeAll('data: a\r', '\n\r', '\n', 'data: b\r\n\r\n').map((event) => event.data), ['a', 'b'])
  deepStrictEqual(decodeAll('data: a\r', '\n', '\n', 'data: b\n\n').map((event) => event.data), ['a', 'b'])
})

test('sse: a byte order mark at the very beginning is not part of the first field', () => {
  deepStrictEqual(decodeAll('\uFEFFdata: a\n\n', 'data: \uFEFFb\n\n').map((event) => event.data), ['a', '\uFEFFb'])
})

test('S22: a last event without its blank line counts at the end and not before', () => {
  const decoder = createSseDecoder()
  deepStrictEqual(decoder.push('data: a\n'), [])
  deepStrictEqual(decoder.end(), [{ event: undefined, data: 'a' }])
  deepStrictEqual(decoder.end(), [])
})

test('S25: an event over the limit is an error, not a silent cut', () => {
  const decoder = createSseDecoder(10)
  strictEqual(decoder.push('data: 1\n\ndata: 2\n\n').length, 2)
  throws(() => createSseDecoder(10).push('data: 12345'), { code: 'upstream_protocol' })
  throws(() => {
    for (let line = 0; line < 10; line++) decoder.push('data: 1\n')
  }, { code: 'upstream_protocol' })
})

test('sse: one event in very many pieces decodes in linear time', () => {
  const decoder = createSseDecoder()
  const started = process.cpuUsage()
  decoder.push('data: ')
  for (let piece = 0; piece < 200_000; piece++) decoder.push('ten chars.')
  strictEqual(decoder.end()[0]?.data.length, 2_000_000)
  ok(process.cpuUsage(started).user < 5_000_000, 'over 5 s of CPU')
})

test('sse: what is encoded decodes to the same event', () => {
  deepStrictEqual(decodeAll(encodeSse('ping', { type: 'ping' }), encodeSse(undefined, '[DONE]'), encodeSse(undefined, 'a\nb')), [
    { event: 'ping', data: '{"type":"ping"}' },
    { event: undefined, data: '[DONE]' },
    { event: undefined, data: 'a\nb' },
  ])
})
