import { deepStrictEqual, notStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { Candidate } from '../src/backends/pool.ts'
import { fail, labels, makeBackend, makePool } from './helpers/pool.ts'

const A = makeBackend('a', 3), B = makeBackend('b', 2), ONE = makeBackend('one', 1)
const VENDOR = makeBackend('vendor', 2, 'api.openai.com')
const LOW = { 'x-ratelimit-limit-tokens': '1000', 'x-ratelimit-remaining-tokens': '50', 'x-ratelimit-reset-tokens': '30s' }

test('pool: candidates come backend by backend, keys in the order of the conversation', () => {
  const { order } = makePool()
  const first = labels(order([A, B], 'x'))
  deepStrictEqual(first.map((label) => label?.slice(0, 1)), ['a', 'a', 'a', 'b', 'b'])
  deepStrictEqual(labels(order([A, B], 'x')), first)
})

test('G1: a conversation keeps its key, and conversations spread over all keys', () => {
  const { order } = makePool()
  const homes = new Set(Array.from({ length: 50 }, (_, index) => labels(order([A], `x${index}`))[0]))
  strictEqual(homes.size, 3)
})

test('G1: affinity is not asked where there is no choice', () => {
  const { pool } = makePool()
  const ask = (): never => { throw new Error('asked') }
  strictEqual(pool.candidates([{ backend: ONE, model: 'm' }, { backend: makeBackend('free', 0), model: 'm' }], ask, ask).length, 2)
})

test('F4: the client\'s own mistake cools nothing', () => {
  const { pool, order } = makePool()
  const before = order([A], 'x')
  for (const candidate of before) pool.report(candidate, fail('client_error'))
  deepStrictEqual(order([A], 'x'), before)
  strictEqual(pool.wait(before), 0)
})

test('pool: a limited key comes last until the time that the vendor named', () => {
  const { pool, clock, order } = makePool()
  const [first, ...others] = order([A], 'x')
  pool.report(first!, fail('rate_limited', 5000))
  deepStrictEqual(labels(order([A], 'x')), labels([...others, first!]))
  clock.now += 4999
  deepStrictEqual(labels(order([A], 'x')), labels([...others, first!]))
  clock.now += 1
  deepStrictEqual(labels(order([A], 'x')), labels([first!, ...others]))
})

test('pool: a clock that is set back ends the rests, does not lengthen them, and new ones begin', () => {
  const { pool, clock, order } = makePool()
  const all = order([A], 'x')
  for (const candidate of all) for (let time = 0; time < 12; time++) {
    pool.report(candidate, fail('rate_limited', 300_000))
    clock.now += 100
  }
  clock.now -= 86_400_000
  deepStrictEqual(order([A], 'x'), all)
  deepStrictEqual(pool.states(A).map(({ state }) => state), ['ready', 'ready', 'ready'])
  pool.report(all[0]!, fail('rate_limited', 5000))
  strictEqual(pool.wait([all[0]!]), 5000)
  clock.now += 1_000
  strictEqual(order([A], 'x').length, 3) // the retry at the resting one has its budget
})

test('pool: all resting, they are asked in the order in which they wake', () => {
  const { pool, order } = makePool()
  const all = order([A, B], 'x')
  all.forEach((candidate, index) => pool.report(candidate, fail('rate_limited', 10_000 - index * 1000)))
  deepStrictEqual(labels(order([A, B], 'x')), labels(all.toReversed()))
  strictEqual(pool.wait(all), 6000)
})

test('pool: what another request learns meanwhile counts for the next attempt', () => {
  const { pool, order } = makePool()
  const [home, second] = order([A], 'x')
  const waiting = pool.candidates([{ backend: A, model: 'm' }], () => 'x', () => false)
  deepStrictEqual(pool.take(waiting, true), home)
  pool.report(second!, fail('rate_limited', 5000))
  notStrictEqual(pool.take(waiting, false)?.key?.label, second?.key?.label)
})

test('pool: an unreachable backend rests with all its keys, and the next backend is asked', () => {
  const { pool, clock, order } = makePool()
  pool.report(order([A, B], 'x')[0]!, fail('unreachable'))
  deepStrictEqual(labels(order([A, B], 'x')).map((label) => label?.slice(0, 1)), ['b', 'b', 'a', 'a', 'a'])
  clock.now += 1000
  strictEqual(labels(order([A, B], 'x'))[0]?.slice(0, 1), 'a')
})

test('pool: a refused key rests ten minutes, also when a shorter rest was open', () => {
  const { pool, clock, order } = makePool(() => 1)
  const [key] = order([A], 'x')
  pool.report(key!, fail('overloaded'))
  pool.report(key!, fail('auth', undefined, true))
  pool.report(key!, fail('overloaded'))
  clock.now += 599_999
  strictEqual(labels(order([A], 'x')).at(-1), key?.key?.label)
  strictEqual(pool.states(A).find(({ label }) => label === key?.key?.label)?.state, 'refused')
  clock.now += 1
  strictEqual(labels(order([A], 'x'))[0], key?.key?.label)
})

for (const [outcome, most] of [['rate_limited', 300], ['overloaded', 30]] as const) {
  test(`F6: ${outcome} without a time rests 1 s, doubling to ${most} s, and starts again after a quiet time`, () => {
    const { pool, clock, order } = makePool()
    const [key] = order([ONE], 'x')
    const rests = Array.from({ length: 11 }, () => {
      pool.report(key!, fail(outcome))
      const wait = pool.wait([key!])
      clock.now += wait
      return wait / 1000
    })
    deepStrictEqual(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map((seconds) => Math.min(seconds, most)))
    clock.now += most * 1000 + 1
    pool.report(key!, fail(outcome))
    strictEqual(pool.wait([key!]), 1000)
  })
}

test('F6: a burst of parallel refusals counts once', () => {
  const { pool, clock, order } = makePool()
  const [key] = order([ONE], 'x')
  for (let count = 0; count < 50; count++) pool.report(key!, fail('rate_limited'))
  strictEqual(pool.wait([key!]), 1000)
  clock.now += 1000
  for (let count = 0; count < 50; count++) pool.report(key!, fail('rate_limited'))
  strictEqual(pool.wait([key!]), 2000)
})

test('F6: jitter shortens a rest by up to a quarter; a time that the vendor named stays', () => {
  const { pool, order } = makePool(() => 0.999)
  const [first, second] = order([A], 'x')
  pool.report(first!, fail('rate_limited'))
  ok(pool.wait([first!]) < 760 && pool.wait([first!]) >= 750)
  pool.report(second!, fail('rate_limited', 1000))
  strictEqual(pool.wait([second!]), 1000)
})

test('F6: the longest time named within a window holds, and none is longer than a day', () => {
  const { pool, order } = makePool()
  const [key] = order([ONE], 'x')
  pool.report(key!, fail('rate_limited', 60_000))
  pool.report(key!, fail('rate_limited', 2000))
  strictEqual(pool.wait([key!]), 60_000)
  pool.report(key!, fail('rate_limited', 1e12))
  strictEqual(pool.wait([key!]), 86_400_000)
})

test('F6: a vendor that says "now" is not asked in a tight loop', () => {
  const { pool, order } = makePool()
  const [key] = order([ONE], 'x')
  pool.report(key!, fail('rate_limited', 0))
  strictEqual(pool.wait([key!]), 1000)
})

test('F7: an exhausted model leaves the other models of its key awake, dated names count as one', () => {
  const { pool, order } = makePool()
  const [key] = order([VENDOR], 'x', { model: 'gpt-5-2026-01-01' })
  pool.report(key!, fail('rate_limited', 5000))
  strictEqual(labels(order([VENDOR], 'x', { model: 'gpt-5' })).at(-1), key?.key?.label)
  strictEqual(labels(order([VENDOR], 'x', { model: 'gpt-5-mini' }))[0], key?.key?.label)
})

test('F7: an empty purse rests the whole key', () => {
  const { pool, order } = makePool()
  const [key] = order([VENDOR], 'x', { model: 'gpt-5' })
  pool.report(key!, fail('rate_limited', 5000, true))
  strictEqual(labels(order([VENDOR], 'x', { model: 'other' })).at(-1), key?.key?.label)
})

test('F7: a server that is not a known vendor limits by key', () => {
  const { pool, order } = makePool()
  const [key] = order([A], 'x', { model: 'one' })
  pool.report(key!, fail('rate_limited', 5000))
  strictEqual(labels(order([A], 'x', { model: 'two' })).at(-1), key?.key?.label)
})

test('F8: retries at a resting candidate that never answers are ten, then one per second; a first attempt is always free', () => {
  const { pool, clock } = makePool()
  const down = makeBackend('down', 1)
  const waiting = (): Candidate[] => pool.candidates([{ backend: down, model: 'm' }], () => 'x', () => false)
  let retries = 0
  pool.report(pool.take(waiting(), true)!, fail('rate_limited', 60_000))
  for (let count = 0; count < 100; count++) {
    clock.now += 100
    const candidate = pool.take(waiting(), false)
    if (candidate === undefined) continue
    retries++
    pool.report(candidate, fail('rate_limited'))
  }
  ok(retries >= 18 && retries <= 20, `${retries} retries in ten seconds`)
  ok(pool.take(waiting(), true))
})

test('F8: a burst of failures counts once, as one outage', () => {
  const { pool, order } = makePool()
  const [key] = order([ONE], 'x')
  for (let count = 0; count < 50; count++) pool.report(key!, fail('rate_limited', 60_000))
  ok(pool.take([key!], false))
})

test('F8: an answer gives all retries back', () => {
  const { pool, clock, order } = makePool()
  const [key] = order([ONE], 'x')
  for (let count = 0; count < 20; count++) {
    clock.now += 100
    pool.report(key!, fail('rate_limited', 60_000))
  }
  deepStrictEqual(pool.take([key!], false), undefined)
  pool.served({ ...key!, restingUntil: 0 }, {}, true)
  ok(pool.take([key!], false))
})

test('F10: an answer from a resting key ends its rest', () => {
  const { pool, order } = makePool()
  pool.report(order([ONE], 'x')[0]!, fail('rate_limited', 60_000))
  const [probed] = order([ONE], 'x')
  pool.served(probed!, {}, true)
  strictEqual(pool.states(ONE)[0]?.state, 'ready')
})

test('F10: an answer that was under way when the key was limited does not wake it', () => {
  const { pool, order } = makePool()
  const [early] = order([ONE], 'x')
  pool.report(order([ONE], 'x')[0]!, fail('rate_limited', 60_000))
  pool.served(early!, {}, true)
  strictEqual(pool.states(ONE)[0]?.state, 'resting')
})

test('pool: new conversations avoid a key with little room, running ones stay', () => {
  const { pool, clock, order } = makePool()
  const [home] = order([A], 'x')
  pool.served(home!, LOW, true)
  strictEqual(labels(order([A], 'x'))[0], home?.key?.label)
  strictEqual(labels(order([A], 'x', { isNew: true })).at(-1), home?.key?.label)
  clock.now += 30_000
  strictEqual(labels(order([A], 'x', { isNew: true }))[0], home?.key?.label)
})

test('pool: room is known per model where the vendor limits by model', () => {
  const { pool, order } = makePool()
  const [home] = order([VENDOR], 'x', { model: 'gpt-5' })
  pool.served(home!, LOW, true)
  strictEqual(labels(order([VENDOR], 'x', { model: 'gpt-5', isNew: true })).at(-1), home?.key?.label)
  strictEqual(labels(order([VENDOR], 'x', { model: 'other', isNew: true }))[0], home?.key?.label)
})

test('G7: a conversation stays where it landed, and goes home only through another failure', () => {
  const { pool, clock, order } = makePool()
  const [home, second] = order([A], 'x')
  pool.report(home!, fail('rate_limited', 1000))
  pool.served(order([A], 'x')[0]!, {}, true)
  clock.now += 2000
  strictEqual(labels(order([A], 'x'))[0], second?.key?.label)
  pool.report(second!, fail('rate_limited', 1000))
  pool.served(order([A], 'x')[0]!, {}, true)
  clock.now += 2000
  strictEqual(labels(order([A], 'x'))[0], home?.key?.label)
})

test('G7: counting tokens elsewhere moves nothing', () => {
  const { pool, order } = makePool()
  const [home, second] = order([A], 'x')
  pool.served(second!, {}, false)
  strictEqual(labels(order([A], 'x'))[0], home?.key?.label)
})

test('G7: 50 turns with a key that fails at turn 20 and recovers at 22 use exactly two keys', () => {
  const { pool, clock, order } = makePool()
  const used = new Set<string | undefined>()
  const home = order([A], 'x')[0]?.key?.label
  for (let turn = 1; turn <= 50; turn++) {
    clock.now += 500
    for (const candidate of order([A], 'x')) {
      if (candidate.key?.label === home && (turn === 20 || turn === 21)) {
        pool.report(candidate, fail('rate_limited', 400))
        continue
      }
      pool.served(candidate, {}, true)
      used.add(candidate.key?.label)
      break
    }
  }
  strictEqual(used.size, 2)
})

test('G4: a moved conversation is forgotten an hour after its last use, not after its first', () => {
  const { pool, clock, order } = makePool()
  const [home, second] = order([A], 'x')
  pool.served(second!, {}, true)
  for (let count = 0; count < 3; count++) {
    clock.now += 50 * 60_000
    strictEqual(labels(order([A], 'x'))[0], second?.key?.label)
    pool.served(order([A], 'x')[0]!, {}, true)
  }
  clock.now += 60 * 60_000 + 1
  strictEqual(labels(order([A], 'x'))[0], home?.key?.label)
})

test('G6: another order of the keys in the configuration moves no conversation', () => {
  const { order } = makePool()
  for (let index = 0; index < 20; index++) {
    deepStrictEqual(labels(order([{ ...A, keys: A.keys.toReversed() }], `x${index}`)), labels(order([A], `x${index}`)))
  }
})

test('G8: of more than 10,000 moved conversations the least recently used is forgotten', () => {
  const { pool, order } = makePool()
  const second = (name: string): Candidate => pool.candidates([{ backend: A, model: 'm' }], () => name, () => false).find(({ isHome }) => !isHome)!
  const isMoved = (name: string): boolean => !order([A], name)[0]!.isHome
  for (const name of ['oldest', 'used again']) pool.served(second(name), {}, true)
  for (let count = 0; count < 9_998; count++) pool.served(second(`x${count}`), {}, true)
  pool.served(order([A], 'used again')[0]!, {}, true)
  pool.served(second('newest'), {}, true)
  deepStrictEqual(['oldest', 'used again', 'newest'].map(isMoved), [false, true, true])
})

test('G8: names of models that clients make up do not fill the memory', () => {
  const { pool, order } = makePool()
  const [first] = order([VENDOR], 'x', { model: 'first' })
  pool.report(first!, fail('rate_limited', 60_000))
  for (let count = 0; count < 10_000; count++) pool.report({ ...first!, limitId: `${first!.nodeId} made up ${count}` }, fail('rate_limited', 60_000))
  strictEqual(pool.wait([first!]), 0) // the oldest made room
  strictEqual(pool.states(VENDOR).filter(({ state }) => state === 'resting').length, 1)
})

test('pool: states show each key by label, with why, until when, for what and how much room', () => {
  const { pool, clock, order } = makePool()
  const [first, second] = order([VENDOR], 'x', { model: 'gpt-5-2026-01-01' })
  pool.report(first!, fail('rate_limited', 5000))
  pool.served(second!, { 'x-ratelimit-limit-requests': '10', 'x-ratelimit-remaining-requests': '4' }, true)
  const ready = { state: 'ready', until: undefined, reason: undefined, family: undefined, headroom: 0.4 } as const
  const resting = { state: 'resting', until: clock.now + 5000, reason: 'rate_limited', family: 'gpt-5', headroom: undefined } as const
  deepStrictEqual(
    new Map(pool.states(VENDOR).map(({ label, ...state }) => [label, state])),
    new Map([[second!.key!.label, ready], [first!.key!.label, resting]].sort() as [string, unknown][]),
  )
})

test('pool: a key whose backend is unreachable shows that', () => {
  const { pool, order } = makePool()
  pool.report(order([A], 'x')[0]!, fail('unreachable'))
  deepStrictEqual(pool.states(A).map(({ state, reason, family }) => [state, reason, family]), Array(3).fill(['resting', 'unreachable', undefined]))
})

test('pool: two pools share nothing', () => {
  const one = makePool(), other = makePool()
  one.pool.report(one.order([ONE], 'x')[0]!, fail('auth'))
  strictEqual(other.pool.states(ONE)[0]?.state, 'ready')
})
