import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkTools, hidePassword } from '../src/cli/doctor.ts'
import { createVariables, renderVariables } from '../src/cli/environment.ts'
import { cleanText, createOutput, describePlan } from '../src/cli/output.ts'
import type { Output } from '../src/cli/output.ts'
import { nearest } from '../src/config/nearest.ts'
import { checkNode } from '../src/version.ts'
import { createHome } from './helpers/command.ts'

function capture(stream: { isTTY?: boolean; columns?: number }, environment: Record<string, string> = {}): { output: Output; text: () => string } {
  let written = ''
  const output = createOutput({ ...stream, write: (part: string) => { written += part } }, { write: () => {} }, environment)
  return { output, text: () => written }
}

const ROWS = [['NAME', 'PROBLEM'], ['a', 'x'.repeat(200)]]

for (const columns of [0, 1, 7, 39, 80, 120]) {
  test(`output: W11: a table fits a terminal that says ${columns} columns`, () => {
    const { output, text } = capture({ isTTY: true, columns }, { NO_COLOR: '1' })
    output.table(ROWS)
    for (const line of text().split('\n')) ok(line.length <= Math.max(40, columns || 80))
  })
}

test('output: a table in a pipe is whole and plain', () => {
  const { output, text } = capture({})
  output.table(ROWS)
  strictEqual(text(), `NAME  PROBLEM\na     ${'x'.repeat(200)}\n`)
})

test('output: colours only on a terminal, never with NO_COLOR or a dumb one', () => {
  match(capture({ isTTY: true }).output.style('red', 'x'), /\u001b\[31mx/)
  strictEqual(capture({}).output.style('red', 'x'), 'x')
  strictEqual(capture({ isTTY: true }, { NO_COLOR: '1' }).output.style('red', 'x'), 'x')
  strictEqual(capture({ isTTY: true }, { TERM: 'dumb' }).output.style('red', 'x'), 'x')
})

test('output: notes have colours only where they go to a terminal themselves', () => {
  for (const [isTTY, expected] of [[false, 'x\n'], [true, '\u001b[31mx\u001b[39m\n']] as const) {
    let written = ''
    const output = createOutput({ isTTY: true, write: () => {} }, { isTTY, write: (part: string) => { written += part } }, {})
    output.note(output.style('red', 'x'))
    strictEqual(written, expected)
  }
})

test('output: a plan that does not say when a limit ends is told without a date', () => {
  const windows = [{ name: '5 hours', used: 0.25, resetsAt: null as unknown as undefined }] // as JSON carries it
  strictEqual(describePlan({ ok: true, program: 'claude', version: '2', loggedIn: true, login: undefined, hint: undefined }, windows),
    'claude 2, logged in; 25 % of 5 hours used')
})

test('output: text from an upstream cannot steer the terminal', () => {
  strictEqual(cleanText('a\u001b[2J\u001b]0;title\u0007b\u001b[31mc\u202ed\r\ne\u009bf\u0000'), 'abcd ef')
  const { output, text } = capture({})
  output.table([['A'], ['\u001b]8;;http://x\u001b\\link\nline']])
  doesNotMatch(text().replaceAll('\n', ''), /[\u0000-\u001f]/)
})

test('nearest: finds slips and swaps, not other words', () => {
  strictEqual(nearest('bakend', ['backend', 'route']), 'backend')
  strictEqual(nearest('prot', ['port', 'host']), 'port')
  strictEqual(nearest('xyz', ['port', 'host']), undefined)
  strictEqual(nearest('', ['port']), undefined)
})

test('version: W15: an old Node is told what is needed', () => {
  match(checkNode('18.20.4') ?? '', /needs Node 20\.19 or newer; this is 18\.20\.4/)
  match(checkNode('20.18.9') ?? '', /20\.19/)
  for (const fine of ['20.19.0', '20.20.2', '22.0.0', '26.1.0']) strictEqual(checkNode(fine), undefined)
})

test('doctor: X6: a proxy password is hidden in every form', () => {
  strictEqual(hidePassword('http://u:p@h:1'), 'http://u:***@h:1')
  strictEqual(hidePassword('u:p:q@h:1'), 'u:***@h:1')
  strictEqual(hidePassword('http://u:p@ss@h:1'), 'http://u:***@h:1')
  strictEqual(hidePassword('socks5://h:1080'), 'socks5://h:1080')
})

test('env: values are quoted for each shell', () => {
  const variables = { A: "it's $x", B: undefined }
  deepStrictEqual(renderVariables(variables, 'bash'), ["export A='it'\\''s $x'", 'unset B'])
  deepStrictEqual(renderVariables(variables, 'fish'), ["set -gx A 'it\\'s $x'", 'set -e B'])
  deepStrictEqual(renderVariables(variables, 'powershell'), ["$env:A = 'it''s $x'", 'Remove-Item Env:B -ErrorAction SilentlyContinue'])
  deepStrictEqual(renderVariables(variables, 'cmd'), ['set "A=it\'s $x"', 'set "B="'])
})

test('env: a key that is there is left alone, one that is missing is a placeholder', () => {
  const { OPENAI_API_KEY, ANTHROPIC_API_KEY } = createVariables('http://localhost:1', undefined, { OPENAI_API_KEY: 'mine' })
  deepStrictEqual([OPENAI_API_KEY, ANTHROPIC_API_KEY], [undefined, 'dario'])
})

test('doctor: an empty CLAUDE_CONFIG_DIR is the usual folder', (t) => {
  const home = createHome(t)
  mkdirSync(join(home, '.claude'))
  writeFileSync(join(home, '.claude', 'settings.json'), '{ "env": { "ANTHROPIC_BASE_URL": "https://elsewhere.example" } }')
  const [check] = checkTools({ HOME: home, CLAUDE_CONFIG_DIR: '', CODEX_HOME: '' }, 3456)
  strictEqual(check?.name, 'claude code')
})

test('doctor: Codex that has other servers beside dario is not said to go elsewhere', (t) => {
  const home = createHome(t)
  mkdirSync(join(home, '.codex'))
  const other = '[model_providers.other]\nbase_url = "https://elsewhere.example/v1"\n'
  const check = (toml: string): string[] => {
    writeFileSync(join(home, '.codex', 'config.toml'), toml)
    return checkTools({ HOME: home }, 3456).map(({ name }) => name)
  }
  deepStrictEqual(check(other), ['codex'])
  deepStrictEqual(check(`${other}[model_providers.dario]\nbase_url = "http://localhost:3456/v1"\n`), ['tools'])
})
