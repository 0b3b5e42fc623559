/**
 * Runs the test files: Node 20 does not expand a quoted glob, so the list is made here. Arguments pick files by a part
 * of their name: `npm test -- chat`. `--folder hostile` runs the long ones of test/hostile instead.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals: wanted } = parseArgs({ options: { folder: { type: 'string', default: '.' } }, allowPositionals: true })
const root = fileURLToPath(new URL(`../test/${values.folder}/`, import.meta.url))
const files = readdirSync(root)
  .filter((name) => name.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => name.includes(part))))
  .map((name) => root + name)
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`)
  process.exit(2)
}
/** Milliseconds that a file, and from Node 22 on a test, may take: one that hangs is named instead of waited for. */
const limit = values.folder === '.' ? 300_000 : 3_600_000
const lingering = new URL('../test/helpers/lingering.ts', import.meta.url).href
const options = ['--import', 'tsx', '--import', lingering, '--test', `--test-concurrency=${availableParallelism()}`, `--test-timeout=${limit}`]
const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: 'inherit' })
process.exit(status ?? 1)
