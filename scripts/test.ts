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
const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--test', `--test-concurrency=${availableParallelism()}`, ...files], { stdio: 'inherit' })
process.exit(status ?? 1)
