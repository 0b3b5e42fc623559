/**
 * Replays a working day through the real pool with a simulated clock and simulated keys, and compares our policy with
 * round robin and least-used: how much input comes from prompt caches, how often a vendor refuses, how often a
 * conversation changes its key. Run with `npx tsx scripts/simulate-pool.ts`; the figures in the README are its output.
 * @module
 */
import type { Backend } from '../src/backends/backend.ts'
import { createPool } from '../src/backends/pool.ts'
import { createRandom } from '../test/helpers/property.ts'
import type { Random } from '../test/helpers/property.ts'

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE
const START = Date.UTC(2026, 0, 5, 8)
const DAY = 10 * HOUR
const KEYS = 5
const CONVERSATIONS = 200
/** Uncached input tokens per key and minute, as Anthropic counts them. */
const LIMIT = 80_000
const CACHE_LIFE = 5 * MINUTE
const ATTEMPTS = 8

interface Turn { time: number; conversation: number; tokens: number; isFirst: boolean }

/**
 * 200 conversations of 40 turns, three in four of them begun within one busy hour; a turn every 20 s to 3 min, growing by
 * 1,000 to 4,000 tokens.
 */
function makeDay(random: Random): Turn[] {
  const turns: Turn[] = []
  for (let conversation = 0; conversation < CONVERSATIONS; conversation++) {
    let time = conversation % 4 === 0 ? START + random(DAY - HOUR) : START + 2 * HOUR + random(HOUR)
    let tokens = 15_000 + random(20_000) // system prompt and tools
    for (let turn = 0; turn < 40; turn++) {
      turns.push({ time, conversation, tokens, isFirst: turn === 0 })
      time += 20 * SECOND + random(160) * SECOND
      tokens += 1000 + random(3000)
    }
  }
  return turns.sort((a, b) => a.time - b.time)
}

/** What a vendor knows of one key: a bucket that refills with the minute, and the caches of five minutes. */
interface SimulatedKey { left: number; filled: number; used: number; caches: Map<number, { tokens: number; time: number }> }

interface Served { cached: number; headers: Record<string, string> }

function serve(key: SimulatedKey, { time, conversation, tokens }: Turn): Served | { retryAfterMs: number } {
  key.left = Math.min(LIMIT, key.left + (time - key.filled) * LIMIT / MINUTE)
  key.filled = time
  const cache = key.caches.get(conversation)
  const cached = cache !== undefined && time - cache.time < CACHE_LIFE ? cache.tokens : 0
  const fresh = tokens - cached
  if (fresh > key.left) return { retryAfterMs: (fresh - key.left) * MINUTE / LIMIT }
  key.left -= fresh
  key.used += tokens
  key.caches.set(conversation, { tokens, time })
  const headers = {
    'x-ratelimit-limit-tokens': String(LIMIT), 'x-ratelimit-remaining-tokens': String(Math.floor(key.left)),
    'x-ratelimit-reset-tokens': `${((LIMIT - key.left) * 60 / LIMIT).toFixed(3)}s`,
  }
  return { cached, headers }
}

/** Asks keys by `index` until one answers; returns what was answered, or undefined when all refused. */
type Policy = (turn: Turn, keys: readonly SimulatedKey[], ask: (index: number) => Served | { retryAfterMs: number }) => void

function ours(): Policy {
  let now = START
  const backend: Backend = {
    id: 'vendor', type: 'anthropic', speaks: ['anthropic'], host: 'api.anthropic.com',
    keys: Array.from({ length: KEYS }, (_, index) => ({ label: String(index), value: `sk-simulated-${index}`, weight: 1 })),
    send: () => Promise.reject(new Error('a simulation sends nothing')),
    close: () => Promise.resolve(),
  }
  const pool = createPool(() => now, () => 0.5)
  return ({ time, conversation, isFirst }, _, ask) => {
    now = time
    const waiting = pool.candidates([{ backend, model: 'claude' }], () => `conversation ${conversation}`, () => isFirst)
    for (let tried = 0; tried < ATTEMPTS; tried++) {
      const candidate = pool.take(waiting, tried === 0)
      if (candidate === undefined) return
      const answer = ask(Number(candidate.key?.label))
      if ('cached' in answer) return pool.served(candidate, answer.headers, true)
      pool.report(candidate, { outcome: 'rate_limited', retryAfterMs: answer.retryAfterMs, wholeKey: false })
    }
  }
}

/** Asks in the given order, past refusals, as gateways without affinity do. */
function inOrder(order: (keys: readonly SimulatedKey[]) => number[]): Policy {
  return (_, keys, ask) => {
    for (const index of order(keys)) if ('cached' in ask(index)) return
  }
}

function roundRobin(): Policy {
  let turn = 0
  return inOrder((keys) => {
    turn++
    return keys.map((_, index) => (turn + index) % keys.length)
  })
}

function leastUsed(): Policy {
  return inOrder((keys) => [...keys.keys()].sort((a, b) => keys[a]!.used - keys[b]!.used))
}

function replay(day: readonly Turn[], policy: Policy): string[] {
  const keys: SimulatedKey[] = Array.from({ length: KEYS }, () => ({ left: LIMIT, filled: START, used: 0, caches: new Map() }))
  const at = new Map<number, number>()
  let input = 0, cached = 0, refusals = 0, moves = 0, failed = 0
  for (const turn of day) {
    let isServed = false
    policy(turn, keys, (index) => {
      const answer = serve(keys[index]!, turn)
      if ('retryAfterMs' in answer) refusals++
      else {
        isServed = true
        input += turn.tokens
        cached += answer.cached
        if (at.has(turn.conversation) && at.get(turn.conversation) !== index) moves++
        at.set(turn.conversation, index)
      }
      return answer
    })
    if (!isServed) failed++
  }
  const share = (part: number, whole: number): string => `${(100 * part / whole).toFixed(1)} %`
  return [share(cached, input), String(refusals), String(moves), share(failed, day.length)]
}

const day = makeDay(createRandom(7))
console.log(`${day.length} turns of ${CONVERSATIONS} conversations over ${KEYS} keys of ${LIMIT} uncached tokens per minute\n`)
console.log('| policy | input from cache | refusals by the vendor | moves to another key | turns that no key took |\n| --- | --- | --- | --- | --- |')
for (const [name, policy] of [['dario', ours()], ['round robin', roundRobin()], ['least used', leastUsed()]] as const) {
  console.log(`| ${name} | ${replay(day, policy).join(' | ')} |`)
}
