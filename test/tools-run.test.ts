/**
 * `dario run TOOL`: programs of the tools' names that say what they were started with.
 * @module
 */
import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fill } from '../src/cli/tool.ts'
import type { Tool } from '../src/cli/tool.ts'
import { TOOLS, findTool } from '../src/cli/tools.ts'
import { buildDario } from './helpers/built.ts'
import { createHome, runDario as runCommand } from './helpers/command.ts'
import type { CommandOptions, Finished } from './helpers/command.ts'

const BUILT = buildDario()

function runDario(t: TestContext, home: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return runCommand(t, home, args, { ...options, built: BUILT })
}

/** Prints its arguments, its environment, and every file that an argument or a variable names. */
const TELL = `#!${process.execPath}
const fs = require('node:fs'), path = require('node:path')
const files = {}
for (const word of [...process.argv.slice(2), process.env.CRUSH_GLOBAL_CONFIG ?? '']) {
  if (!word.includes('dario-run-') || !fs.existsSync(word)) continue
  const found = fs.statSync(word).isDirectory() ? fs.readdirSync(word, { recursive: true }).map((name) => path.join(word, name)) : [word]
  for (const file of found) if (fs.statSync(file).isFile()) files[path.basename(file)] = { path: file, text: fs.readFileSync(file, 'utf8'), mode: fs.statSync(file).mode & 0o777 }
}
console.log(JSON.stringify({ args: process.argv.slice(2), env: process.env, files }))
`

interface Told {
  args: string[]
  env: Record<string, string>
  files: Record<string, { path: string; text: string; mode: number }>
}

async function runTool(
  t: TestContext, home: string, words: string[], { environment = {}, options = [] }: { environment?: Record<string, string>; options?: string[] } = {},
): Promise<Told> {
  const bin = join(home, 'bin')
  mkdirSync(bin, { recursive: true })
  const program = findTool(words[0] ?? '')?.program ?? words[0] ?? ''
  writeFileSync(join(bin, program), TELL, { mode: 0o755 })
  const { code, stdout, stderr } = await runDario(t, home, ['run', '--port', '0', ...options, '--', ...words], {
    environment: { PATH: `${bin}:${process.env['PATH']}`, TMPDIR: home, ...environment } })
  strictEqual(code, 0, stderr)
  return JSON.parse(stdout) as Told
}

const settings = (told: Told): Record<string, string> => (JSON.parse(told.files['settings.json']?.text ?? '{}') as { env: Record<string, string> }).env

test('run: W1: claude gets a settings file, which beats the one of the user', async (t) => {
  const told = await runTool(t, createHome(t), ['claude', '-p', 'hello'])
  strictEqual(told.args[0], '--settings')
  deepStrictEqual(told.args.slice(2), ['-p', 'hello'])
  const env = settings(told)
  strictEqual(env['ANTHROPIC_BASE_URL'], told.env['ANTHROPIC_BASE_URL'])
  strictEqual(env['ANTHROPIC_AUTH_TOKEN'], told.env['ANTHROPIC_AUTH_TOKEN'])
  deepStrictEqual([env['ANTHROPIC_API_KEY'], env['CLAUDE_CODE_USE_BEDROCK'], env['ANTHROPIC_MODEL']], ['', '', undefined])
})

test('run: W2: claude gets one of the two auth variables', async (t) => {
  const { env } = await runTool(t, createHome(t), ['claude'], { environment: { ANTHROPIC_API_KEY: 'sk-mine', ANTHROPIC_AUTH_TOKEN: 'other' } })
  strictEqual(env['ANTHROPIC_AUTH_TOKEN']?.length, 32)
  strictEqual('ANTHROPIC_API_KEY' in env, false)
})

test('run: M7: --model holds for the small helper models as well', async (t) => {
  const told = await runTool(t, createHome(t), ['claude'], { options: ['--model', 'gpt-5'] })
  for (const name of ['ANTHROPIC_MODEL', 'ANTHROPIC_DEFAULT_HAIKU_MODEL', 'ANTHROPIC_SMALL_FAST_MODEL', 'CLAUDE_CODE_SUBAGENT_MODEL']) {
    deepStrictEqual([settings(told)[name], told.env[name]], ['gpt-5', 'gpt-5'])
  }
})

test('run: temporary files are for their owner alone and gone afterwards', async (t) => {
  const home = createHome(t)
  const told = await runTool(t, home, ['claude'])
  const [file] = Object.values(told.files)
  ok(file?.path.startsWith(join(home, 'dario-run-')))
  strictEqual(file?.mode, 0o600)
  deepStrictEqual(readdirSync(home), ['bin'])
})

test('run: no key is in the arguments of a tool', async (t) => {
  for (const [name, tool] of Object.entries(TOOLS)) {
    if (tool.program === undefined || (tool.env ?? tool.args) === undefined) continue
    const { args, env } = await runTool(t, createHome(t), [name], { options: ['--model', 'some-model'] })
    ok(!args.some((word) => word.includes(env['OPENAI_API_KEY'] ?? 'none')), name)
    doesNotMatch(JSON.stringify([args, env]), /\{(?:root|v1|key|model|dir)\}/)
  }
})

test('run: codex is told of a model server that speaks Responses', async (t) => {
  const { args, env } = await runTool(t, createHome(t), ['codex', 'exec', 'hello'])
  deepStrictEqual(args.slice(0, 4), ['-c', 'model_provider="dario"', '-c',
    `model_providers.dario={name="dario",base_url="${env['OPENAI_BASE_URL']}",env_key="DARIO_KEY",wire_api="responses"}`])
  deepStrictEqual(args.slice(4), ['exec', 'hello'])
  strictEqual(env['DARIO_KEY'], env['OPENAI_API_KEY'])
})

test('run: a model named to the tool itself wins', async (t) => {
  for (const mine of [['--model', 'mine'], ['-m', 'mine'], ['--model=mine']]) {
    const { args } = await runTool(t, createHome(t), ['qwen', ...mine], { options: ['--model', 'other'] })
    deepStrictEqual(args.slice(4), mine)
  }
})

test('run: a tool without models of its own gets one that dario lists', async (t) => {
  const { env } = await runTool(t, createHome(t), ['opencode'])
  strictEqual((JSON.parse(env['OPENCODE_CONFIG_CONTENT'] ?? '{}') as { model: string }).model, 'dario/echo')
})

test('run: continue is started by its program, with a configuration of its own', async (t) => {
  const { args, files } = await runTool(t, createHome(t), ['continue', '-p', 'x'])
  deepStrictEqual([args[0], args.slice(2)], ['--config', ['-p', 'x']])
  match(files['config.yaml']?.text ?? '', /^name: dario\n.*\n {4}model: "echo"\n/s)
})

test('run: cline and crush find their settings in the folder of the run', async (t) => {
  const cline = await runTool(t, createHome(t), ['cline', 'hello'])
  match(cline.files['providers.json']?.text ?? '', /"lastUsedProvider":"openai-compatible"/)
  const crush = await runTool(t, createHome(t), ['crush'])
  match(crush.files['crush.json']?.text ?? '', /"large":\{"provider":"dario","model":"echo"\}/)
})

test('run: where temporary files cannot be, tools that need one are told so, and others run', async (t) => {
  const home = createHome(t)
  const environment = { TMPDIR: join(home, 'none') }
  const { code, stderr } = await runDario(t, home, ['run', '--port', '0', 'claude'], { environment })
  strictEqual(code, 1)
  match(stderr, /^dario: .*none.dario-run-\w+ cannot be written \(ENOENT\); name another folder in TMPDIR$/m)
  strictEqual((await runDario(t, home, ['run', '--port', '0', '--', process.execPath, '-e', ''], { environment })).code, 0)
})

test('run: the settings of the user are not touched', async (t) => {
  const home = createHome(t)
  mkdirSync(join(home, '.claude'))
  const mine = '{ "env": { "ANTHROPIC_BASE_URL": "https://elsewhere.example" } }'
  writeFileSync(join(home, '.claude', 'settings.json'), mine)
  await runTool(t, home, ['claude'])
  strictEqual(readFileSync(join(home, '.claude', 'settings.json'), 'utf8'), mine)
  deepStrictEqual(readdirSync(join(home, '.claude')), ['settings.json'])
})

test('run: a tool that has no command, or that only its settings can point here, is explained', async (t) => {
  for (const [name, title] of [['cursor', 'Cursor'], ['hermes', 'Hermes']] as const) {
    const { code, stderr } = await runDario(t, createHome(t), ['run', name])
    strictEqual(code, 2)
    match(stderr, new RegExp(`${title} is not started from here.*dario setup ${name}`))
  }
})

test('run: a model for a command that is no known tool is refused rather than ignored', async (t) => {
  const { code, stdout, stderr } = await runDario(t, createHome(t), ['run', '--port', '0', '--model', 'gpt-5', '--', process.execPath, '-p', '1'])
  deepStrictEqual([code, stdout], [2, ''])
  match(stderr, /--model is for the tools that dario setup lists/)
})

test('run: a model that no settings file can carry is refused', async (t) => {
  const { code, stderr } = await runDario(t, createHome(t), ['run', '--port', '0', '--model', 'a"b\n', 'claude'])
  strictEqual(code, 2)
  match(stderr, /cannot be the name of a model/)
})

test('tools: every tool says how it gets here and where that is from', () => {
  for (const [name, tool] of Object.entries(TOOLS)) {
    match(tool.source, /^https:\/\/[^ ]+$/, name)
    ok(tool.settings !== undefined || tool.steps !== undefined, name)
    ok(tool.program === undefined || tool.env !== undefined || tool.args !== undefined || tool.steps !== undefined || tool.settings !== undefined, name)
  }
})

test('tools: the README names each where it belongs', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = Object.fromEntries([...readme.matchAll(/^\| ((?:run|setup|by hand)[^|]*) \| (`.*`) \|$/gm)].map(([, title = '', names = '']) => [title, names.replaceAll('`', '').split(', ')]))
  const place = ({ env, args, program, settings }: Tool): string => {
    const runs = program !== undefined && (env ?? args) !== undefined
    return runs ? (settings === undefined ? 'run, else by hand' : 'run and setup') : settings === undefined ? 'by hand' : 'setup'
  }
  const wanted: Record<string, string[]> = {}
  for (const [name, tool] of Object.entries(TOOLS)) (wanted[place(tool)] ??= []).push(name)
  deepStrictEqual(rows, wanted)
})

test('tools: what needs a model goes when there is none', () => {
  const values = { root: 'http://x', key: 'k', model: undefined }
  deepStrictEqual(fill({ a: '{v1}', b: '{model}', c: ['{model}'], '{model}': 1 }, values), { a: 'http://x/v1' })
  strictEqual(fill('a\nmodel {model}\nb {key}\n', values), 'a\nb k\n')
})

test('run: a dario that lists no models leaves a tool with the usual one', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'qwen'), TELL, { mode: 0o755 })
  const server = createServer(({ url }, response) => {
    if (url === '/health') response.end('{"name":"dario","version":"1","backends":[{"id":"one","keys":[]}]}')
    else response.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const { code, stdout, stderr } = await runDario(t, home, ['run', '--port', String(port), join(home, 'qwen')])
  strictEqual(code, 0, stderr)
  strictEqual((JSON.parse(stdout) as Told).env['OPENAI_MODEL'], 'claude-sonnet-4-5')
})
