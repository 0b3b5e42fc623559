/**
 * What is under way right now: few things at a time, but thousands per second come and go.
 * @module
 */

export interface InFlight<Item> {
  add(item: Item): void
  /** Whether it was there. */
  delete(item: Item): boolean
  has(item: Item): boolean
  count(): number
  /** In no order; a copy, so that items may leave meanwhile. */
  list(): Item[]
}

/**
 * Instead of a Set: that makes a new table every few additions, and each old table points to the next one. One of them
 * that lived long enough to be moved to the old generation keeps all later tables alive, with everything that was under
 * way then, until the next full collection. Measured at 40 % of a small request's processor time.
 */
export function createInFlight<Item>(): InFlight<Item> {
  const items: Item[] = []
  return {
    add(item) {
      items.push(item)
    },
    delete(item) {
      const at = items.indexOf(item)
      if (at === -1) return false
      const last = items.pop()!
      if (last !== item) items[at] = last
      return true
    },
    has: (item) => items.includes(item),
    count: () => items.length,
    list: () => items.slice(),
  }
}
