/**
 * Runs the chaos of test/helpers/chaos.ts at full size and prints its figures: `npm run chaos -- --requests 10000 --seed 1`.
 * @module
 */
import { parseArgs } from 'node:util'
import { runChaos } from '../test/helpers/chaos.ts'

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' }, concurrency: { type: 'string', default: '64' } },
})
const { figures, violations } = await runChaos({
  requests: Number(values.requests), seed: Number(values.seed), concurrency: Number(values.concurrency), stall: 1500,
})
for (const [name, value] of Object.entries(figures)) console.log(`${name.padEnd(28)} ${value}`)
for (const violation of violations.slice(0, 20)) console.error(`violated: ${violation}`)
console.log(violations.length === 0 ? 'everything held' : `${violations.length} violations`)
process.exitCode = violations.length === 0 ? 0 : 1
