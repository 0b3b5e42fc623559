/**
 * Weighted rendezvous hashing: every process ranks the same nodes in the same order for the same key, without state.
 * Highest random weight, Thaler and Ravishankar 1998; weights by `-w / ln(u)`.
 * @module
 */
import { hash } from 'node:crypto'
import { createMemo } from '../hub/memo.ts'

export interface Node {
  id: string
  weight: number
}

/** The nodes, best first. Removing one moves only the keys that it held. */
export function rank<Ranked extends Node>(key: string, nodes: readonly Ranked[]): Ranked[] {
  return nodes
    .map((node) => ({ node, score: scoreOf(key, node) }))
    .sort((a, b) => b.score - a.score || (a.node.id < b.node.id ? -1 : 1))
    .map(({ node }) => node)
}

/** `rank` for nodes that stay the same: a conversation has many turns, and hashing is most of what choosing costs. */
export function createRanking<Ranked extends Node>(nodes: readonly Ranked[]): (key: string) => readonly Ranked[] {
  return createMemo((key) => rank(key, nodes), 4000)
}

function scoreOf(key: string, node: Node): number {
  // One call with hex output costs a fifth of createHash: this runs per key of a pool in every request.
  const bits = parseInt(hash('sha256', `${key}\0${node.id}`, 'hex').slice(0, 12), 16)
  // 48 bits are exact in a double; half a step keeps the value away from 0, whose logarithm is infinite.
  return -node.weight / Math.log((bits + 0.5) / 2 ** 48)
}
