/**
 * Property tests without a library: a seeded generator, many runs, and the seed in the failure.
 * @module
 */

/** A number from 0 up to, not including, `limit`. */
export type Random = (limit: number) => number

export function createRandom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit)
  }
}

/** Runs `check` on `runs` made values; `SEED=17` replays one. */
export async function forAll<Value>(
  make: (random: Random) => Value,
  check: (value: Value) => void | Promise<void>,
  runs = 200,
): Promise<void> {
  const fixed = process.env['SEED']
  const first = fixed === undefined ? Math.floor(Math.random() * 1e9) : Number(fixed)
  for (let run = 0; run < (fixed === undefined ? runs : 1); run++) {
    const seed = first + run
    try {
      await check(make(createRandom(seed)))
    } catch (cause) {
      throw new Error(`fails with SEED=${seed}: ${(cause as Error).message}`, { cause })
    }
  }
}

/** Cuts text or bytes at random places, empty pieces excluded. */
export function cutAnywhere<Whole extends string | Buffer>(whole: Whole, random: Random, most = 20): Whole[] {
  const cuts = Array.from({ length: 1 + random(most) }, () => random(whole.length)).sort((a, b) => a - b)
  const pieces: Whole[] = []
  let from = 0
  for (const cut of [...cuts, whole.length]) {
    if (cut > from) pieces.push((typeof whole === 'string' ? whole.slice(from, cut) : whole.subarray(from, cut)) as Whole)
    from = cut
  }
  return pieces
}
