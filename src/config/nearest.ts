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
  const table = Array.from({ length: from.length + 1 }, (_, row) => Array.from({ length: to.length + 1 }, (_, column) => row + column))
  for (const [row, cells] of table.entries()) {
    for (let column = 1; row > 0 && column < cells.length; column++) {
      const at = (up: number, left: number): number => table[row - up]?.[column - left] ?? Infinity
      const same = from[row - 1] === to[column - 1] ? 0 : 1
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      cells[column] = Math.min(at(1, 0) + 1, at(0, 1) + 1, at(1, 1) + same, swapped ? at(2, 2) + 1 : Infinity)
    }
  }
  return table.at(-1)?.at(-1) ?? 0
}
