/**
 * Names for requests, answers and calls that nobody else uses.
 * @module
 */
import { randomUUID } from 'node:crypto'

/**
 * 32 hexadecimal digits behind the prefix: 20 random ones of this proxy, then a number. Unique, not secret. A UUID for
 * each would cost a fiftieth of a small request.
 */
export function createIds(): (prefix: string) => string {
  const own = randomUUID().replaceAll('-', '').slice(0, 20)
  let made = 0
  return (prefix) => prefix + own + (made++).toString(16).padStart(12, '0')
}
