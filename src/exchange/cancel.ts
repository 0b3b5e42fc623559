/**
 * What ends a request early, as a signal that backends can listen to.
 * @module
 */
import type { Signal } from '../backends/backend.ts'

export interface Cancel extends Signal {
  /** The first reason counts. */
  abort(reason: unknown): void
}

/** Does what an AbortController does; making one and listening to it takes a tenth of a small request's time. */
export function createCancel(): Cancel {
  let listeners: (() => void)[] = []
  const cancel = {
    aborted: false,
    reason: undefined as unknown,
    throwIfAborted() {
      if (cancel.aborted) throw cancel.reason
    },
    addEventListener(_type: 'abort', listener: () => void) {
      listeners.push(listener)
    },
    removeEventListener(_type: 'abort', listener: () => void) {
      listeners = listeners.filter((one) => one !== listener)
    },
    abort(reason: unknown) {
      if (cancel.aborted) return
      cancel.aborted = true
      cancel.reason = reason
      for (const listener of listeners) listener()
    },
  }
  return cancel
}
