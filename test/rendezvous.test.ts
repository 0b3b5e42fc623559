import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { rank } from '../src/backends/rendezvous.ts'
import { forAll } from './helpers/property.ts'

const NODES = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, weight: id === 'e' ? 2 : 1 }))
const CONVERSATIONS = Array.from({ length: 20_000 }, (_, index) => `conversation ${index}`)
const homes = (nodes: typeof NODES): (string | undefined)[] => CONVERSATIONS.map((key) => rank(key, nodes)[0]?.id)

test('rendezvous: shares of 20,000 conversations follow the weights', () => {
  const counts = new Map<string | undefined, number>()
  for (const home of homes(NODES)) counts.set(home, (counts.get(home) ?? 0) + 1)
  for (const { id, weight } of NODES) {
    const share = (counts.get(id) ?? 0) / CONVERSATIONS.length
    ok(Math.abs(share - weight / 6) < 0.01, `${id} has ${share}`)
  }
})

for (const { id } of NODES) {
  test(`rendezvous: removing ${id} moves exactly its own conversations, each to its second choice`, () => {
    const before = CONVERSATIONS.map((key) => rank(key, NODES))
    const after = homes(NODES.filter((node) => node.id !== id))
    for (const [index, ranked] of before.entries()) {
      strictEqual(after[index], ranked[0]?.id === id ? ranked[1]?.id : ranked[0]?.id)
    }
  })
}

test('rendezvous: the order of the list makes no difference', () => forAll(
  (random) => ({ key: String(random(1e9)), nodes: [...NODES].sort(() => random(3) - 1) }),
  ({ key, nodes }) => deepStrictEqual(rank(key, nodes), rank(key, NODES)),
))

test('rendezvous: a ranking stays what it was in earlier releases, so that mixed versions agree', () => {
  deepStrictEqual(rank('conversation 1', NODES).map(({ id }) => id), ['e', 'd', 'b', 'c', 'a'])
})
