/**
 * What was once found out for a name, kept in memory.
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
