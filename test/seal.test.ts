import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { packSeal, unpackSeal } from '../src/hub/seal.ts'
import { forAll } from './helpers/property.ts'

test('seal: what was packed comes back whole, with its origin and id', async () => {
  await forAll(
    (random) => ({
      origin: (['anthropic', 'chat', 'responses'] as const)[random(3)] ?? 'chat',
      value: Array.from({ length: random(60) }, () => String.fromCodePoint(32 + random(0x4e00))).join(''),
      ...(random(2) === 0 ? { id: `rs_${random(1000)}` } : {}),
    }),
    (seal) => deepStrictEqual(unpackSeal(packSeal(seal)), seal),
  )
})

test("seal: a vendor's own signature is not taken for ours", () => {
  for (const text of ['', 'EqQBCkYIBxgC', 'dario.', 'dario.google.e30', 'dario.chat.', 'dario.chat.bm9uc2Vuc2U', 'dario.chat.e30']) {
    strictEqual(unpackSeal(text), undefined, text)
  }
})

test('seal: the packed text is safe in JSON, headers and URLs', () => {
  ok(/^[\w.-]+$/.test(packSeal({ origin: 'responses', id: 'rs_1', value: '\u0000ÿ"\n≥/+=' })))
})
