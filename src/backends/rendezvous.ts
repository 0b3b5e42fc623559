/**
 * Weighted rendezvous hashing: every process ranks the same nodes in the same order for the same key, without state.
 * Highest random weight, Thaler and Ravishankar 1998; weights by `-w / ln(u)`.
 * @module
 */
import { createHash } from 'node:crypto'

export interface Node {
  id: string
  weight: number
}

/** The nodes, best first. Removing one moves only the keys that it held. */
export function rank<Ranked extends Node>(key: string, nodes: readonly Ranked[]): Ranked[] {
  if (nodes.length < 2) return [...nodes]
  return nodes
    .map((node) => ({ node, score: scoreOf(key, node) }))
    .sort((a, b) => b.score - a.score || (a.node.id < b.node.id ? -1 : 1))
    .map(({ node }) => node)
}

function scoreOf(key: string, node: Node): number {
  // 48 bits are exact in a double; half a step keeps the value away from 0, whose logarithm is infinite.
  const bits = createHash('sha256').update(key).update('\0').update(node.id).digest().readUIntBE(0, 6)
  return -node.weight / Math.log((bits + 0.5) / 2 ** 48)
}
