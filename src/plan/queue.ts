/**
 * Places for processes: at most so many at once, started one by one; resting runs make way for waiting requests, the
 * rest wait their turn.
 * @module
 */
import type { Signal } from '../backends/backend.ts'
import { DarioError } from '../errors.ts'
import { EMPTY_CHAIN } from './history.ts'
import type { Run } from './run.ts'

interface Queue {
  /**
   * Resolves when a process may be started; call what it returns once the run is in `runs`.
   * @throws DarioError `overloaded`
   */
  enter(signal: Signal): Promise<() => void>
  /** How many of those that wait will have no place when what is ending has ended; below 0: places that nobody wants. */
  missing(): number
  /** Looks again: a run ended or came to rest. */
  pump(): void
}

/** Longest wait for a place, in ms: a route's next backend should get its chance before the client gives up. */
const MAX_WAIT_MS = 120_000

export function createQueue(runs: ReadonlySet<Run>, max: number, maxWaiting: number): Queue {
  const waiting = new Set<() => void>()
  /** One at a time: each start blocks the event loop for some milliseconds, and others need their turns in between. */
  let entering = false
  const free = (): number => Math.max(0, max - runs.size - (entering ? 1 : 0))
  const missing = (): number => waiting.size - free() - [...runs].filter(({ state }) => state === 'over').length

  /** Runs that are only kept warm before those that hold a conversation, parked ones last; the longest unused first. */
  function findResting(): Run | undefined {
    const byAge = [...runs].sort((a, b) => a.usedAt - b.usedAt)
    const idle = byAge.filter(({ state }) => state === 'idle')
    return idle.find(({ chain }) => chain === EMPTY_CHAIN) ?? idle[0] ?? byAge.find(({ state }) => state === 'parked')
  }

  function pump(): void {
    const [next] = waiting
    if (!entering && free() > 0) next?.()
    for (let times = missing(); times > 0; times--) void findResting()?.end('its place is needed')
  }

  async function enter(signal: Signal): Promise<() => void> {
    signal.throwIfAborted()
    if (missing() >= maxWaiting && findResting() === undefined) {
      const remedy = 'try again or raise "maxProcesses"'
      throw new DarioError('overloaded', `all ${max} claude processes are busy and the queue is full; ${remedy}`)
    }
    await new Promise<void>((resolve, reject) => {
      const sentence = `all ${max} claude processes were busy for ${MAX_WAIT_MS} ms; try again`
      const late = setTimeout(() => leave(new DarioError('overloaded', sentence)), MAX_WAIT_MS).unref()
      const gone = (): void => leave(signal.reason)
      function leave(reason: unknown): void {
        waiting.delete(admit)
        clearTimeout(late)
        signal.removeEventListener('abort', gone)
        reject(reason)
      }
      function admit(): void {
        entering = true
        resolve()
        leave(undefined) // too late to be rejected
      }
      signal.addEventListener('abort', gone)
      waiting.add(admit)
      pump()
    })
    return () => {
      entering = false
      pump()
    }
  }
  return { enter, missing, pump }
}
