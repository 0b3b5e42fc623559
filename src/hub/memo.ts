/**
 * What was found out for a name, kept in memory, in bounds.
 * @module
 */

/** @param most names come from outside: with so many of them, all are forgotten */
export function createMemo<Found>(find: (name: string) => Found, most = 1000): (name: string) => Found {
  const known = new Map<string, Found>()
  return (name) => {
    const kept = known.get(name)
    if (kept !== undefined || known.has(name)) return kept as Found
    if (known.size >= most) known.clear()
    const found = find(name)
    known.set(name, found)
    return found
  }
}

/** Set again at the end: a Map keeps insertion order, so of more than `most` the first one goes, set longest ago. */
export function remember<Value>(map: Map<string, Value>, name: string, value: Value, most: number): void {
  map.delete(name)
  map.set(name, value)
  if (map.size <= most) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}

export interface Bounded<Value> {
  /** Marks it as used. */
  get(name: string): Value | undefined
  set(name: string, value: Value): void
  isEmpty(): boolean
}

/** Of more than `maxCount`, or of more than `maxSize` all together, the one used longest ago goes first. */
export function createBounded<Value>(
  maxCount: number, maxSize: number, sizeOf: (value: Value) => number,
): Bounded<Value> {
  const kept = new Map<string, Value>() // keeps the order
  let size = 0

  function take(name: string): Value | undefined {
    const value = kept.get(name)
    if (value !== undefined) size -= sizeOf(value)
    kept.delete(name)
    return value
  }

  function set(name: string, value: Value): void {
    take(name)
    if (sizeOf(value) > maxSize) return
    kept.set(name, value)
    size += sizeOf(value)
    for (const oldest of kept.keys()) {
      if (kept.size <= maxCount && size <= maxSize) break
      take(oldest)
    }
  }

  return {
    get(name) {
      const value = take(name)
      if (value !== undefined) set(name, value)
      return value
    },
    set,
    isEmpty: () => kept.size === 0,
  }
}
