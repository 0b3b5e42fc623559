import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { peek } from '../src/exchange/peek.ts'
import { forAll } from './helpers/property.ts'
import type { Random } from './helpers/property.ts'

const NAMES = ['model', 'stream', 'a', '__proto__', 'mo\\u0064el', '\u{1f600}', 'x\\"y']
const SCALARS = ['true', 'false', 'null', '0', '-1.5e+3', '12345678901234567890', '""', '"é\\n\\\\"', '"\\\\\\""', '"{[,:\\"]}"']

function makeValue(random: Random, depth: number): string {
  const blank = [' ', '\n', '\t', ''][random(4)]!
  if (depth === 0 || random(3) === 0) return blank + SCALARS[random(SCALARS.length)]! + blank
  const items = Array.from({ length: random(4) }, () => makeValue(random, depth - 1))
  return random(2) === 0 ? `[${blank}${items.join(',')}]` : `{${blank}${items.map((item) => `"${NAMES[random(NAMES.length)]!}"${blank}:${item}`).join(',')}}`
}

function makeObject(random: Random): string {
  const names = NAMES.filter((name) => !name.startsWith('mo')) // a second model would have to be a string
  const members = Array.from({ length: random(6) }, () => `,"${names[random(names.length)]!}":${makeValue(random, 4)}`)
  return `{"model":"m"${members.join('')}}`
}

test('peek: reads the same members as JSON.parse, whatever the rest holds', async () => {
  await forAll(makeObject, (text) => {
    const seen = peek(Buffer.from(text))
    const parsed = JSON.parse(text) as Record<string, unknown>
    strictEqual(seen.stream, parsed['stream'] === true)
    for (const name of ['a', '\u{1f600}', 'x"y', 'missing']) deepStrictEqual(seen.read(name), Object.hasOwn(parsed, name) ? parsed[name] : undefined, text)
    deepStrictEqual(JSON.parse(seen.withModel('other').toString()), { ...parsed, model: 'other' })
  }, 500)
})

test('peek: every text that is cut or has a byte too many is refused with an offset', async () => {
  await forAll((random) => {
    const text = makeObject(random)
    const at = 1 + random(text.length - 1)
    return random(2) === 0 ? text.slice(0, at) : `${text.slice(0, at)}}${text.slice(at)}`
  }, (text) => {
    let valid = true
    try { JSON.parse(text) } catch { valid = false }
    if (valid || text.includes('\\')) return // escapes inside strings are for whoever parses the value
    throws(() => peek(Buffer.from(text)), /not valid JSON.*byte \d+/, text)
  }, 3000)
})

test('peek: a name written twice counts the last time, and both are renamed', () => {
  const seen = peek(Buffer.from('{"model":"one","model" : "two"}'))
  strictEqual(seen.model, 'two')
  strictEqual(seen.withModel('x').toString(), '{"model":"x","model" : "x"}')
})

test('peek: 1,000 levels are read, 100,000 refused without a stack overflow, and a megabyte is quick', () => {
  const deep = (levels: number): Buffer => Buffer.from(`{"model":"m","x":${'['.repeat(levels)}${']'.repeat(levels)}}`)
  strictEqual(peek(deep(1_000)).model, 'm')
  throws(() => peek(deep(100_000)), { code: 'invalid_request' })
  const started = performance.now()
  peek(Buffer.from(`{"model":"m","x":"${'\\\\'.repeat(500_000)}"}`))
  ok(performance.now() - started < 500)
})

test('peek: a model that is no string is the client\'s mistake', () => {
  for (const model of ['5', '{}', '["a"]', 'true']) throws(() => peek(Buffer.from(`{"model":${model}}`)), /model must be a string/)
  strictEqual(peek(Buffer.from('{"model":null}')).model, '')
})
