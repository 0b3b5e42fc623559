/**
 * Fuzzers of what reads text before anything is parsed: SSE against a reader written from the standard, `peek` against
 * JSON.parse, request targets, forms.
 * @module
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { StringDecoder } from 'node:string_decoder'
import { DarioError } from '../../src/errors.ts'
import { peekForm } from '../../src/exchange/form.ts'
import { peek } from '../../src/exchange/peek.ts'
import type { Peek } from '../../src/exchange/peek.ts'
import type { Json } from '../../src/hub/types.ts'
import { parseTarget } from '../../src/server/routes.ts'
import { createSseDecoder, encodeSse } from '../../src/sse.ts'
import type { SseEvent } from '../../src/sse.ts'
import { cutAnywhere } from '../../test/helpers/property.ts'
import { makeJson, mutateBytes, mutateText, pick, writeJson } from './make.ts'
import type { Check } from './make.ts'

/** Runs it; anything thrown but a DarioError goes on as a finding. */
export function tryDario<Value>(run: () => Value): Value | DarioError {
  try {
    return run()
  } catch (error) {
    if (error instanceof DarioError && error.code !== 'internal') return error
    throw error
  }
}

const SSE_PIECES = ['data: ', 'data:', 'data', 'event: ', 'event', 'id: 1', 'retry: 5', ':', ': ping', '\n', '\r', '\r\n', '\n\n', '\uFEFF', ' ', 'x', '{"a":1}', 'é', '💥', '\u0000', '\u2028', 'da', '[DONE]']

/** Section 9.2.6 of the HTML standard, in its own words; the last event counts without its blank line (pitfall S22). */
function readStandard(text: string): SseEvent[] {
  const events: SseEvent[] = []
  let data: string | undefined, event = ''
  for (const line of [...text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/), '']) {
    if (line === '') {
      if (data !== undefined) events.push({ event: event || undefined, data: data.slice(0, -1) })
      data = undefined
      event = ''
      continue
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?([^]*))?$/.exec(line) ?? []
    if (field === 'data') data = `${data ?? ''}${value}\n`
    if (field === 'event') event = value
  }
  return events
}

const sse: Check = (random) => {
  const text = Array.from({ length: random(30) }, () => pick(random, SSE_PIECES)).join('')
  const bytes = mutateBytes(random, Buffer.from(text))
  const decoder = createSseDecoder(), characters = new StringDecoder('utf8')
  const events = cutAnywhere(bytes, random, 8).flatMap((piece) => decoder.push(characters.write(piece)))
  events.push(...decoder.push(characters.end()), ...decoder.end())
  deepStrictEqual(events, readStandard(bytes.toString()))
}

const sseRoundTrip: Check = (random) => {
  const data = mutateText(random, JSON.stringify(makeJson(random, 2))).replaceAll('\r', '')
  const decoder = createSseDecoder()
  deepStrictEqual([...decoder.push(encodeSse('a', data)), ...decoder.end()], [{ event: 'a', data }])
}

/** Any larger event is refused, whatever the pieces; any smaller one is not. */
const sseLimit: Check = (random) => {
  const limit = 1 + random(40), length = random(80)
  const decoder = createSseDecoder(limit)
  const line = `data:${'x'.repeat(length)}`
  const events = tryDario(() => [...cutAnywhere(line, random), '\n\n'].flatMap((piece) => decoder.push(piece)))
  strictEqual(events instanceof DarioError, line.length > limit)
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function comparePeek(peeked: Peek, value: Record<string, unknown>, random: Parameters<Check>[0]): void {
  strictEqual(peeked.model, value['model'] ?? '')
  strictEqual(peeked.stream, value['stream'] === true)
  for (const name of Object.keys(value)) {
    ok(isDeepStrictEqual(peeked.read(name), value[name]), `read(${JSON.stringify(name)})`)
    const most = random(4), list = value[name]
    ok(isDeepStrictEqual(peeked.readHead(name, most), Array.isArray(list) ? list.slice(0, most) : []), `readHead(${JSON.stringify(name)}, ${most})`)
  }
  strictEqual(peeked.read('no such member'), undefined)
  const renamed: unknown = JSON.parse(peeked.withModel('new "model"').toString())
  ok(isDeepStrictEqual(renamed, 'model' in value && Object.hasOwn(value, 'model') ? { ...value, model: 'new "model"' } : value), 'withModel')
}

const peekLikeParse: Check = (random) => {
  const made = makeJson(random, 3)
  const whole: Json = random(5) === 0 ? made : { model: random(8) === 0 ? made : 'm', stream: random(2) === 0, messages: [made, 1], a: made }
  const bytes = mutateBytes(random, Buffer.from(mutateText(random, writeJson(random, whole))))
  const text = bytes.toString()
  const parsed = parse(text)
  const peeked = tryDario(() => peek(bytes))
  if (parsed === undefined) {
    if (peeked instanceof DarioError) return
    // Accepted although JSON.parse refuses: only what is inside of strings may be wrong, and reading those must say so.
    ok(parse(text.replace(/"(?:[^"\\]|\\[^])*"/g, '""')) !== undefined, `peek accepts ${JSON.stringify(text)}`)
    return
  }
  const { value } = parsed
  const model = isRecord(value) ? value['model'] ?? '' : undefined
  if (!isRecord(value) || typeof model !== 'string') return void ok(peeked instanceof DarioError, `peek accepts ${JSON.stringify(text)}`)
  if (peeked instanceof DarioError) throw new Error(`peek refuses ${JSON.stringify(text)}: ${peeked.message}`)
  comparePeek(peeked, value, random)
}

const TARGETS = ['/v1', '/messages', '/models/', '/', '//', '..', '.', '%2e%2e', '%2f', '%5c', '\\', '%00', '%', '%zz', '?', '?beta=true', '#', 'http://x', ' ', '\t', '\r\n', 'é', '%c3%a9', 'a', '%25', '/v1/v1', ';', '&', '%0a']

/** Whatever decoding an upstream may do, once or twice, the path stays where it is. */
const target: Check = (random) => {
  const text = (random(8) === 0 ? '' : '/') + Array.from({ length: random(6) }, () => pick(random, TARGETS)).join('')
  const parsed = tryDario(() => parseTarget(text))
  if (parsed instanceof DarioError) return
  ok(parsed.path.startsWith('/') && /^[\x21-\x7e]*$/.test(parsed.path + parsed.query), parsed.path)
  ok(!decodeURIComponent(parsed.path).split(/[/\\]/).some((segment) => segment === '..' || segment === '.' || /[\x00-\x1f]/.test(segment)), parsed.path)
}

const FORM = ['--b\r\n', 'content-disposition: form-data; ', 'name="model"', '; filename="x"', '\r\n', '\r\n\r\n', 'whisper-1', 'é', '\u0000', 'content-type: text/plain', '--b--', 'name="file"', '\n']

const form: Check = (random) => {
  const bytes = mutateBytes(random, Buffer.from(Array.from({ length: random(20) }, () => pick(random, FORM)).join('')))
  const peeked = peekForm(bytes)
  if (peeked === undefined) return
  ok(!/[\r\n]/.test(peeked.model), peeked.model)
  ok(peeked.withModel('other').length >= 5)
}

export const TEXT: Readonly<Record<string, Check>> = { 'sse': sse, 'sse round trip': sseRoundTrip, 'sse limit': sseLimit, 'peek': peekLikeParse, 'target': target, 'form': form }
