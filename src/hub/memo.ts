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
