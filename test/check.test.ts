import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeAuditMap, makeFidelityTable } from '../scripts/check/documents.ts'
import { readBlocks, readCommands } from '../scripts/check/examples.ts'
import { checkPackage, checkWorkflow, checkWorkflows } from '../scripts/check/package.ts'
import {
  checkBudgets, checkCeiling, checkDocstrings, checkEffects, checkForbidden, checkLayers, checkTests, readHouse,
} from '../scripts/check/rules.ts'
import type { SourceFile } from '../scripts/check/rules.ts'
import { readEffects, readSource } from '../scripts/check/source.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const HEAD = '/**\n * Does one thing.\n * @module\n */\n'

const file = (path: string, text: string): SourceFile => ({ path, ...readSource(text) })

for (const [name, check] of [
  ['budgets', checkBudgets], ['size', checkCeiling], ['layers', checkLayers], ['effects', checkEffects],
  ['forbidden words', checkForbidden], ['docstrings', checkDocstrings],
] as const) {
  test(`house: ${name} of this repository in order`, () => {
    deepStrictEqual(check(readHouse(ROOT)), [])
  })
}

for (const [name, check] of [['package', checkPackage], ['workflows', checkWorkflows], ['tests', checkTests]] as const) {
  test(`house: the ${name} of this repository are in order`, () => {
    deepStrictEqual(check(ROOT), [])
  })
}

const EFFECTS = [
  ["import { request } from 'node:https'\nrequest(url)", ['network']],
  ["import { Agent } from 'node:https'", []],
  ["import type { request } from 'node:http'", []],
  ["import { type Server } from 'node:http'", []],
  ["import { createServer } from 'node:http'", ['listens']],
  ["import * as net from 'node:net'\nnet.connect(1)", ['network']],
  ["const http = require('node:http')\nhttp.get(url)", ['network']],
  ["const { connect } = require('node:tls')", ['network']],
  ['await fetch(url)', ['network']],
  ['const answer = await globalThis.fetch(url)', ['network']],
  ['return {\n  fetch(request) {\n    return 1\n  },\n}', []],
  ['interface Proxy {\n  fetch(request: Request): Promise<Response>\n}', []],
  ['await proxy.fetch(request)', []],
  ['let f: typeof globalThis.fetch', []],
  ["import { spawn } from 'node:child_process'", ['spawns']],
  ["import { readFileSync } from 'node:fs'", ['reads files']],
  ["import { appendFile } from 'node:fs/promises'", ['writes files']],
  ["import { openSync } from 'node:fs'\nopenSync(path, 'r')", ['reads files']],
  ["import { openSync } from 'node:fs'\nopenSync(join(a, b), 'a', 0o600)", ['writes files']],
  ["import * as fs from 'node:fs'\nfs.renameSync(a, b)", ['writes files']],
  ["const key = process.env['KEY']", ['reads environment']],
  ["import { env } from 'node:process'", ['reads environment']],
  ["// fetch(url) and process.env\nconst text = 'fetch(url)' + `process.env`", []],
  ['const text = `${await fetch(url)}`', ['network']],
  ["const quote = /['\"]/\nawait fetch(url)", ['network']],
] as const

for (const [code, effects] of EFFECTS) {
  test(`effects: ${JSON.stringify(code)} has ${effects.join(', ') || 'none'}`, () => {
    deepStrictEqual(readEffects(readSource(code)), effects)
  })
}

const REFUSED = [
  ['src/hub/a.ts', "import { x } from '../dialects/chat/reply.ts'", checkLayers, /may not import/],
  ['src/dialects/chat/a.ts', "import { x } from '../anthropic/wire.ts'", checkLayers, /may not import/],
  ['src/dialects/chat/a.ts', "import { randomUUID } from 'node:crypto'", checkLayers, /may not use node:crypto/],
  ['src/sse.ts', "import { x } from 'lodash'", checkLayers, /no dependencies/],
  ['src/server/a.ts', "import { request } from 'http'", checkLayers, /write node:http/],
  ['src/server/a.ts', "import type {\n  X,\n} from '../backends/http.ts'", checkLayers, /may not import/],
  ['src/exchange/a.ts', "const x = await import('./b.ts')", checkLayers, /dynamic import/],
  ['src/cli/a.ts', 'const x = await import(name)', checkLayers, /dynamic paths/],
  ['src/cli/a.ts', "export { x } from '../backends/http.ts'", checkLayers, /may not import/],
  ['src/hub/a.ts', 'eval(text)', checkForbidden, /eval/],
  ['src/hub/a.ts', "new Function('x')", checkForbidden, /Function/],
  ['src/hub/a.ts', "const fs = process.getBuiltinModule('fs')", checkForbidden, /a way around/],
  ['src/hub/a.ts', '// @ts-ignore\nx()', checkForbidden, /switched-off/],
  ['src/hub/a.ts', 'export default 1', checkForbidden, /default export/],
  ['src/hub/a.ts', 'await fetch(url)', checkEffects, /"network" is not declared/],
  ['src/hub/a.ts', 'x\n'.repeat(251), checkBudgets, /allowed; cut it/],
  ['src/new-folder/a.ts', '', checkBudgets, /add its folder/],
  ['src/hub/a.ts', 'const x = 1', checkDocstrings, /must open with a docstring/],
] as const

for (const [path, code, check, expected] of REFUSED) {
  test(`house: ${JSON.stringify(code.slice(0, 50))} in ${path} is refused`, () => {
    match(check([file(path, check === checkDocstrings ? code : HEAD + code)]).join('\n'), expected)
  })
}

test('house: a declared effect that the code does not have is refused', () => {
  match(checkEffects([file('src/backends/tunnel.ts', HEAD)]).join('\n'), /it has no such code/)
})

const WORKFLOW = `on: push
permissions: {}
jobs:
  test:
    permissions:
      contents: read # to check out
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789 # v1.2.3
        with:
          persist-credentials: false
`

test('workflow: pinned actions and narrow rights are in order', () => {
  deepStrictEqual(checkWorkflow('w.yml', WORKFLOW), [])
})

const BAD_WORKFLOWS = [
  ['a tag for a pin', WORKFLOW.replace(/@0\d+/, '@v4'), /not pinned/],
  ['a pin without its version', WORKFLOW.replace(' # v1.2.3', ''), /say the version/],
  ['no default of no rights', WORKFLOW.replace('permissions: {}\n', ''), /permissions: \{\}/],
  ['a broad right', WORKFLOW.replace('contents: read', 'packages: write'), /too broad/],
  ['every right', WORKFLOW.replace('permissions: {}', 'permissions: write-all'), /one by one/],
  ['a right without a reason', WORKFLOW.replace(' # to check out', ''), /why this right/],
  ['kept credentials', WORKFLOW.replace('persist-credentials: false', 'fetch-depth: 1'), /persist-credentials/],
  ['an install that runs scripts', `${WORKFLOW}      - run: npm ci\n`, /--ignore-scripts/],
  ['an expression in a script', `${WORKFLOW}      - run: echo \${{ github.ref }}\n`, /by env/],
  ['a cache in a release', `${WORKFLOW}    environment: npm\n      - uses: x\n          cache: npm\n      - run: npm publish\n`, /no cache/],
  ['a stored token', `${WORKFLOW}    environment: npm\n      - run: npm publish\n        env: NPM_TOKEN\n`, /by OIDC/],
  ['a release without a reviewer', `${WORKFLOW}      - run: npm publish\n`, /protected environment/],
] as const

for (const [name, text, expected] of BAD_WORKFLOWS) {
  test(`workflow: ${name} is refused`, () => {
    match(checkWorkflow('w.yml', text).join('\n'), expected)
  })
}

test('documents: the audit map and the fidelity table come from the code', () => {
  const one = file('src/dialects/chat/reply.ts', `${HEAD}const a = 1 // lossy: Chat has no word\n// lossy: two lines\n// are one reason\nconst b = 2\n`)
  match(makeAuditMap([one]), /\| 1 \| `src\/dialects\/chat\/reply.ts` \| 8 \| Does one thing\. \| none \|/)
  match(makeFidelityTable([one]), /\| `chat\/reply.ts` \| Chat has no word \|\n\| `chat\/reply.ts` \| Two lines are one reason \|/)
})

test('documents: README and SECURITY say what the code says', async () => {
  const { checkDocuments } = await import('../scripts/check/documents.ts')
  deepStrictEqual(checkDocuments(ROOT, readHouse(ROOT), false), [])
})

test('documents: commands are read with their continuation lines', () => {
  const [block] = readBlocks("x\n\n```sh\n# first\ncurl a \\\n  -d '{\n  }'\n\ncurl b\n```\n")
  strictEqual(block?.line, 3)
  deepStrictEqual(readCommands(block.code), ["curl a \\\n  -d '{\n  }'", 'curl b'])
})

test('documents: the README has a curl example for every dialect', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const commands = readBlocks(readme).filter(({ language }) => language === 'sh').flatMap(({ code }) => readCommands(code))
  for (const path of ['/v1/messages', '/v1/chat/completions', '/v1/responses', '/v1/models']) {
    ok(commands.some((command) => command.startsWith('curl') && command.includes(path)), path)
  }
})
