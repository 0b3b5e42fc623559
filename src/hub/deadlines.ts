/**
 * Times by which something must have happened: one timer for all of them, where a timer for each would cost more than
 * the comparing. https://nodejs.org/api/timers.html
 * @module
 */
import { createInFlight } from './in-flight.ts'

export interface Deadline {
  /** `performance.now()` by which `late` is called; may be moved. */
  until: number
  late(): void
}

export interface Deadlines {
  add(one: Deadline): void
  delete(one: Deadline): void
}

/**
 * While there is one the process stays alive.
 * @param step milliseconds by which `late` may be called too late
 */
export function createDeadlines(step: number): Deadlines {
  const all = createInFlight<Deadline>()
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const time = performance.now()
    for (const one of all.list()) if (one.until <= time) one.late()
    if (all.count() > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    add(one) {
      all.add(one)
      timer ??= setInterval(look, step)
      if (all.count() === 1) timer.ref()
    },
    delete(one) {
      all.delete(one)
      if (all.count() === 0) timer?.unref()
    },
  }
}
