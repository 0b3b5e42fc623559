/**
 * Waits until something outside this process is so, with a deadline.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'

export async function until(holds: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`not so within ${ms} ms: ${holds.toString()}`)
    await sleep(5)
  }
}
