/**
 * At most so many requests at a backend at once; the next ones wait in a bounded line.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { Signal } from './backend.ts'

export interface Gate {
  /**
   * Resolves with the function that frees the place.
   * @throws DarioError `rate_limited` when the line is full; the signal's reason when it aborts while waiting.
   */
  enter(signal: Signal): Promise<() => void>
  waiting(): number
}

export function createGate(backend: string, most: number, mostWaiting: number): Gate {
  let inside = 0
  const line = new Set<() => void>()

  function leave(): void {
    const [next] = line
    if (next === undefined) inside--
    else next()
  }

  return {
    waiting: () => line.size,
    async enter(signal) {
      signal.throwIfAborted()
      if (inside < most) {
        inside++
        return leave
      }
      if (line.size >= mostWaiting) {
        throw new DarioError('rate_limited', `backend ${backend} serves ${most} requests at once and ${mostWaiting} wait: ` +
          `raise backends.${backend}.maxConcurrent or maxQueue, or try again later`, { retryAfterMs: 1000 })
      }
      return new Promise((resolve, reject) => {
        const abandon = (): void => {
          line.delete(proceed)
          reject(signal.reason)
        }
        const proceed = (): void => {
          line.delete(proceed)
          signal.removeEventListener('abort', abandon)
          resolve(leave)
        }
        line.add(proceed)
        signal.addEventListener('abort', abandon, { once: true })
      })
    },
  }
}
