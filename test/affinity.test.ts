import { notStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { readAffinity } from '../src/exchange/affinity.ts'
import { peek } from '../src/exchange/peek.ts'

const of = (body: object, headers: Record<string, string> = {}): string => readAffinity(headers, peek(Buffer.from(JSON.stringify(body))))
const user = (content: string): object => ({ role: 'user', content })
const TALK = { model: 'm', system: 'be brief', messages: [user('first'), { role: 'assistant', content: 'x' }, user('second')] }

test('G2: a session header comes first, then the user id, then the cache key, then what the talk begins with', () => {
  const body = { ...TALK, metadata: { user_id: 'user' }, prompt_cache_key: 'cache' }
  strictEqual(of(body, { 'x-session-id': 'session' }), 'session')
  strictEqual(of(body), 'user')
  strictEqual(of({ ...body, metadata: {} }), 'cache')
  ok(/^[0-9a-f]{64}$/.test(of(TALK)))
})

test('G2: a talk keeps its name as it grows, in each dialect', () => {
  const grown = [...TALK.messages, user('third')]
  strictEqual(of({ ...TALK, messages: grown }), of(TALK))
  strictEqual(of({ input: [{ role: 'developer', content: 'd' }, user('first'), { type: 'reasoning' }] }), of({ input: [{ role: 'developer', content: 'd' }, user('first')] }))
  strictEqual(of({ messages: [{ role: 'system', content: 's' }, user('first'), user('more')] }), of({ messages: [{ role: 'system', content: 's' }, user('first')] }))
})

for (const [what, other] of Object.entries({
  'another first text': { ...TALK, messages: [user('other')] },
  'another system prompt, as of another folder': { ...TALK, system: 'be long' },
  'instructions in place of system': { ...TALK, system: undefined, instructions: 'be brief' },
})) test(`G3: ${what} is another conversation`, () => notStrictEqual(of(other), of(TALK)))

test('G5: the model, its suffix and sampling do not split a conversation', () => {
  strictEqual(of({ ...TALK, model: 'm[1m]', temperature: 1, stream: true }), of(TALK))
})

test('G8: a session id as long as a novel is kept as a hash', () => {
  const long = 'x'.repeat(10_000)
  strictEqual(of(TALK, { 'x-session-id': long }).length, 64)
  notStrictEqual(of(TALK, { 'x-session-id': long }), of(TALK, { 'x-session-id': `${long}y` }))
})

test('G1: a cache mark that moves on, and text that is written as a block, are the same conversation', () => {
  const begin = (content: unknown): string => of({ model: 'm', system: content, messages: [{ role: 'user', content }] })
  const marked = begin([{ type: 'text', text: 'hi', cache_control: { type: 'ephemeral' } }])
  strictEqual(begin([{ type: 'text', text: 'hi' }]), marked)
  strictEqual(begin('hi'), marked)
  notStrictEqual(begin([{ type: 'text', text: 'hi' }, { type: 'text', text: 'there' }]), marked)
})
