/**
 * Places for processes: at most so many at once, started one by one; resting runs make way for waiting requests, the rest wait their turn.
 * @module
 */
import type { Signal } from '../backends/backend.ts'
import { DarioError } from '../errors.ts'
import type { Run } from './run.ts'

export interface Queue {
  /**
   * Resolves when a process may be started; call what it returns once the run is in `runs`.
   * @throws DarioError `overloaded`
   */
  enter(signal: Signal): Promise<() => void>
  /** Looks again: a run ended or came to rest. */
  pump(): void
}

export interface QueueOptions {
  runs: ReadonlySet<Run>
  max: number
  maxWaiting: number
}

/** Longest wait for a place, in ms: a route's next backend should get its chance before the client gives up. */
const MAX_WAIT_MS = 120_000

export function createQueue({ runs, max, maxWaiting }: QueueOptions): Queue {
  const waiting: (() => void)[] = []
  const ending = new Set<Run>()
  /** One at a time: each start blocks the event loop for some milliseconds, and others need their turns in between. */
  let entering = false
  const free = (): number => Math.max(0, max - runs.size - (entering ? 1 : 0))

  /** Idle runs before parked ones, the longest unused first. */
  function findResting(): Run | undefined {
    const resting = [...runs].filter((run) => (run.state === 'idle' || run.state === 'parked') && !ending.has(run))
    const rank = (run: Run): number => (run.state === 'parked' ? 1e15 : 0) + run.usedAt
    return resting.sort((a, b) => rank(a) - rank(b))[0]
  }

  function pump(): void {
    if (!entering && free() > 0) waiting.shift()?.()
    while (waiting.length - free() > ending.size) {
      const run = findResting()
      if (run === undefined) return
      ending.add(run)
      void run.end('its place is needed').then(() => {
        ending.delete(run)
        pump()
      })
    }
  }

  async function enter(signal: Signal): Promise<() => void> {
    signal.throwIfAborted()
    if (waiting.length - free() >= maxWaiting && findResting() === undefined) {
      const remedy = 'try again or raise "maxProcesses"'
      throw new DarioError('overloaded', `all ${max} claude processes are busy and the queue is full; ${remedy}`)
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (reason: unknown): void => {
        waiting.splice(waiting.indexOf(admit) >>> 0, 1)
        reject(reason)
      }
      const late = setTimeout(() => {
        leave(new DarioError('overloaded', `all ${max} claude processes were busy for ${MAX_WAIT_MS} ms; try again`))
      }, MAX_WAIT_MS).unref()
      const gone = (): void => {
        clearTimeout(late)
        leave(signal.reason)
      }
      const admit = (): void => {
        entering = true
        clearTimeout(late)
        signal.removeEventListener('abort', gone)
        resolve()
      }
      signal.addEventListener('abort', gone, { once: true })
      waiting.push(admit)
      pump()
    })
    return () => {
      entering = false
      pump()
    }
  }
  return { enter, pump }
}
