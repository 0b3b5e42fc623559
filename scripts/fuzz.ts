/**
 * Seeded property fuzzers for everything that reads what others wrote. `npm run fuzz -- --minutes 1` gives each of them
 * an equal share of the time; `--only peek` picks by a part of the name; `--only peek --seed 42 --runs 1` runs one
 * execution again. Ends with 1 on a crash, a wrong answer, or an execution that does not come to an end.
 * @module
 */
import { parseArgs } from 'node:util'
import { CHECKS, fuzz } from './fuzz/checks.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' }, runs: { type: 'string' }, only: { type: 'string', multiple: true } },
})
const names = Object.keys(CHECKS).filter((name) => values.only?.some((part) => name.includes(part)) ?? true)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const most = values.runs === undefined ? Infinity : Number(values.runs)
const ms = values.runs === undefined ? Number(values.minutes) * 60_000 / names.length : Infinity

console.log(`seed ${seed}, ${names.length} fuzzers, Node ${process.version}`)
let total = 0
for (const name of names) {
  const { runs, finding } = fuzz(name, seed, ms, most)
  total += runs
  console.log(`${name.padEnd(20)} ${runs.toLocaleString('en').padStart(12)} executions`)
  if (finding === undefined) continue
  console.log(`FINDING; again with: npm run fuzz -- --only '${name}' --seed ${finding.seed} --runs 1\n${finding.text}`)
  process.exitCode = 1
}
console.log(`${total.toLocaleString('en')} executions in total, ${process.exitCode === 1 ? 'with findings' : 'no finding'}`)
