/**
 * A pool with a clock that the test turns, and backends that are never asked.
 * @module
 */
import type { Backend } from '../../src/backends/backend.ts'
import type { Verdict } from '../../src/backends/outcome.ts'
import { createPool } from '../../src/backends/pool.ts'
import type { Candidate, Pool } from '../../src/backends/pool.ts'

export interface TestPool {
  pool: Pool
  /** Unix time in ms; the test moves it. */
  clock: { now: number }
  /** One request: the candidates in the order in which they would be asked if all failed without being reported. */
  order(backends: readonly Backend[], conversation: string, options?: { model?: string; isNew?: boolean }): Candidate[]
}

export function makeBackend(id: string, keys: number | readonly number[] = 2, host = 'example.test'): Backend {
  const weights = typeof keys === 'number' ? Array.from({ length: keys }, () => 1) : keys
  return {
    id, type: 'openai', speaks: ['chat'], host,
    keys: weights.map((weight, index) => ({ label: `${id}#${index + 1}`, value: `sk-${id}-${index}`, weight })),
    send: () => Promise.reject(new Error('a pool test asks nobody')),
    close: () => Promise.resolve(),
  }
}

/** `random` 0: rests are exactly as long as their bounds say. */
export function makePool(random: () => number = () => 0): TestPool {
  const clock = { now: 1_800_000_000_000 }
  const pool = createPool(() => clock.now, random)
  return {
    pool, clock,
    order(backends, conversation, { model = 'm', isNew = false } = {}) {
      const waiting = pool.candidates(backends.map((backend) => ({ backend, model })), () => conversation, () => isNew)
      const taken: Candidate[] = []
      for (;;) {
        const candidate = pool.take(waiting, taken.length === 0)
        if (candidate === undefined) return taken
        taken.push(candidate)
      }
    },
  }
}

export function fail(outcome: Verdict['outcome'], retryAfterMs?: number, wholeKey = false): Verdict {
  return { outcome, retryAfterMs, wholeKey }
}

export function labels(candidates: readonly Candidate[]): (string | undefined)[] {
  return candidates.map(({ backend, key }) => key?.label ?? backend.id)
}
