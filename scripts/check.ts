/**
 * Holds the house to its plan: layers, budgets, effects, supply chain, and documents that are what the code says.
 * `--write` brings the made parts of the documents up to date; `--fast` leaves out the README's code blocks.
 * @module
 */
import { fileURLToPath } from 'node:url'
import { checkDocuments } from './check/documents.ts'
import { checkExamples } from './check/examples.ts'
import { checkPackage, checkWorkflows } from './check/package.ts'
import {
  checkBudgets, checkCeiling, checkDocstrings, checkEffects, checkForbidden, checkLayers, checkTests, checkTopLevel, readHouse,
} from './check/rules.ts'
import { CEILING } from './house.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const files = readHouse(root)
const problems = [
  ...checkTopLevel(root),
  ...checkPackage(root),
  ...checkWorkflows(root),
  ...checkBudgets(files),
  ...checkCeiling(files),
  ...checkLayers(files),
  ...checkEffects(files),
  ...checkForbidden(files),
  ...checkDocstrings(files),
  ...checkTests(root),
  ...checkDocuments(root, files, process.argv.includes('--write')),
]
if (!process.argv.includes('--fast') && problems.length === 0) problems.push(...await checkExamples(root))
for (const problem of problems) console.error(`check: ${problem}`)
const total = files.reduce((sum, file) => sum + file.lines, 0)
if (problems.length === 0) console.log(`check: ${files.length} files, ${total} of ${CEILING} lines, no complaint`)
process.exitCode = problems.length === 0 ? 0 : 1
