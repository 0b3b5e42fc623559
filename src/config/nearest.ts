/**
 * The known word that a mistyped one most likely meant.
 * @module
 */

/** Damerau-Levenshtein (adjacent swaps count once) up to a third of the word; undefined when nothing is that near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const away = distance(word.toLowerCase(), candidate.toLowerCase())
    if (away < least) [best, least] = [candidate, away]
  }
  return best
}

/** The problem with a way out: the known word that is near, else what `otherwise` says, if anything. */
export function suggest(
  problem: string, word: string, known: readonly string[], otherwise?: string, show: (near: string) => string = (near) => `"${near}"`,
): string {
  const near = nearest(word, known)
  const hint = near === undefined ? otherwise : `did you mean ${show(near)}?`
  return hint === undefined ? problem : `${problem}; ${hint}`
}

function distance(from: string, to: string): number {
  let before: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row++) {
    const next = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1] ? 0 : 1
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      next[column] = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + same,
        swapped ? (before[column - 2] ?? 0) + 1 : Infinity,
      )
    }
    before = last
    last = next
  }
  return last[to.length] ?? 0
}
