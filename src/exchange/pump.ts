/**
 * Moves an upstream's bytes on, as fast as they are taken.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { Body, Signal } from '../backends/backend.ts'

/** Milliseconds in which an answer that is over may end by itself: cutting it off would cost the next request a handshake. */
const LINGER = 500

/**
 * Calls `take` with the bytes as they come. When it returns a promise the upstream waits (backpressure). `take` may
 * return `false` to stop early; the rest is dropped.
 * Rejects with DarioError when the upstream breaks, with the signal's reason when it aborts: it is the backend that
 * watches the signal and ends the body, since a second listener would cost as much as the rest of a small request.
 */
export function pump(
  body: Body, signal: Signal, take: (bytes: Buffer) => Promise<void> | void | false,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let linger: NodeJS.Timeout | undefined
    let settled = false

    function stop(error: unknown): void {
      if (settled) return
      settled = true
      body.destroy()
      reject(error as Error)
    }
    function data(bytes: Buffer): void {
      if (settled) return
      let result: Promise<void> | void | false
      try {
        result = take(bytes)
      } catch (error) {
        return stop(error)
      }
      if (result === undefined) return
      if (result !== false) {
        body.pause()
        return void result.then(() => body.resume(), stop)
      }
      settled = true
      linger = setTimeout(() => body.destroy(), LINGER)
      resolve()
    }
    if (signal.aborted) return stop(signal.reason)
    body.read({
      data,
      end() {
        clearTimeout(linger)
        settled = true
        resolve()
      },
      fail(error) {
        clearTimeout(linger)
        stop(signal.aborted ? signal.reason : toBroken(error))
      },
    })
  })
}

function toBroken(cause: Error): DarioError {
  if (cause instanceof DarioError) return cause
  return new DarioError('upstream_protocol', 'the upstream broke the connection inside its answer; try again', { cause })
}
