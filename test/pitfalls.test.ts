/**
 * The registry of known pitfalls of proxies like this one: each number stands in the title of a regression test, or in
 * `pitfalls-not-applicable.md` with the reason why it does not concern us.
 * @module
 */
import { deepEqual } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

/** Groups of the registry and how many entries each has. */
const GROUPS: Readonly<Record<string, number>> = {
  A: 13, B: 14, R: 19, S: 34, T: 12, K: 15, I: 8, C: 8, U: 9, N: 5, M: 8, E: 10, // translation
  H: 10, X: 11, F: 11, G: 9, Z: 13, L: 12, W: 16, // headers, transport, failover, affinity, security, the plan, operation
  O: 23, Q: 11, // what vendors and clients really send
}
const ALL = Object.entries(GROUPS).flatMap(([group, count]) => Array.from({ length: count }, (_, index) => `${group}${index + 1}`))

/** A title names its pitfalls: `S4: …`, `S12 to S14: …`, `run: T1, T4: …`, `… (U5)`. */
function numbersOf(text: string): string[] {
  const heads = text.match(/(?<=['"`](?:[\w -]+: )?)[A-Z]\d+(?:(?:, | and | to )[A-Z]\d+)*(?=:)|(?<=\()[A-Z]\d+(?=\)['"`])/g) ?? []
  return heads.flatMap((head) => {
    const numbers = head.split(/, | and | to /)
    if (!head.includes(' to ')) return numbers
    const [first = '', last = ''] = numbers
    const from = Number(first.slice(1)), to = Number(last.slice(1))
    return Array.from({ length: to - from + 1 }, (_, index) => `${first[0]}${from + index}`)
  })
}

const here = new URL('./', import.meta.url)
const tested = new Set(
  readdirSync(here, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && !name.endsWith('pitfalls.test.ts') && !name.includes('node_modules'))
    .flatMap((name) => numbersOf(readFileSync(new URL(name.replaceAll('\\', '/'), here), 'utf8'))),
)
const explained = [...readFileSync(new URL('pitfalls-not-applicable.md', here), 'utf8').matchAll(/^- \*\*([A-Z]\d+)\*\* .{20,}/gm)]
  .map(([, number = '']) => number)

test('pitfalls: every entry of the registry has a regression test or a reason why not', () => {
  deepEqual(ALL.filter((number) => !tested.has(number) && !explained.includes(number)), [])
})

test('pitfalls: no entry is both tested and explained away, and no number is unknown', () => {
  deepEqual(explained.filter((number) => tested.has(number)), [])
  deepEqual([...tested, ...explained].filter((number) => !ALL.includes(number)), [])
})
