/**
 * `dario setup TOOL`: real settings files in an empty home folder.
 * @module
 */
import { deepStrictEqual, doesNotMatch, match, ok, strictEqual, throws } from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { editSettings } from '../src/cli/settings.ts'
import { locate } from '../src/cli/tool.ts'
import { TOOLS } from '../src/cli/tools.ts'
import { buildDario } from './helpers/built.ts'
import { createHome, runDario as runCommand } from './helpers/command.ts'
import type { CommandOptions, Finished } from './helpers/command.ts'
import { forAll } from './helpers/property.ts'
import type { Random } from './helpers/property.ts'
import { startProxy } from './helpers/proxy.ts'

const BUILT = buildDario()

function runDario(t: TestContext, home: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return runCommand(t, home, args, { ...options, built: BUILT })
}

const SAMPLES: Readonly<Record<string, string>> = {
  '.json': '// mine\n{\n  "theme": "dark", // best\n  "env": { "FOO": "1", },\n  /* models */ "models": {}\n}\n',
  '.toml': '# mine\nmodel = "o3" # slow\n\n[mcp_servers.docs]\ncommand = "npx"\nargs = [\n  "-y", # yes\n]\n',
  '.yaml': '# mine\nname: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n    - name: old\n      provider: ollama\nrules: []\n',
  '.yml': '# mine\nmodel: gpt-4o\nread: [a.md, "b.md"]\n',
}

function put(home: string, path: string, text: string | Buffer, mode = 0o644): string {
  const file = join(home, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text, { mode })
  return file
}

function setup(t: TestContext, home: string, ...args: string[]): Promise<Finished> {
  return runDario(t, home, ['setup', '--port', '3999', '--model', 'some-model', ...args])
}

const WITH_SETTINGS = Object.entries(TOOLS).filter(([, { settings }]) => settings !== undefined)

for (const [name, { settings = [] }] of WITH_SETTINGS) {
  test(`setup ${name}: points its settings at dario, and undo leaves no trace`, async (t) => {
    const home = createHome(t)
    const done = await setup(t, home, name, '--yes')
    strictEqual(done.code, 0, done.stderr)
    const files = settings.map((one) => locate(one, { HOME: home })[0] ?? '')
    match(files.map((file) => readFileSync(file, 'utf8')).join(), /http:\/\/localhost:3999/)
    strictEqual((await setup(t, home, name, '--undo', '--yes')).code, 0)
    for (const file of files) deepStrictEqual(readdirSync(dirname(file)), [])
  })
  test(`setup ${name}: keeps what is there, and undo brings every byte back`, async (t) => {
    const home = createHome(t)
    const files = settings.map((one) => locate(one, { HOME: home })[0] ?? '')
    const samples = files.map((file) => (name === 'llm' ? '- model_id: mine\n  model_name: x\n' : SAMPLES[/\.\w+$/.exec(file)?.[0] ?? ''] ?? ''))
    files.forEach((file, index) => put('', file, samples[index] ?? ''))
    const done = await setup(t, home, name, '--yes')
    strictEqual(done.code, 0, done.stderr)
    match(files.map((file) => readFileSync(file, 'utf8')).join(), /http:\/\/localhost:3999/)
    for (const file of files) match(readFileSync(file, 'utf8'), /mine/)
    match((await setup(t, home, name, '--yes')).stdout, /is set up already/)
    strictEqual((await setup(t, home, name, '--undo', '--yes')).code, 0)
    deepStrictEqual(files.map((file) => readFileSync(file, 'utf8')), samples)
    for (const file of files) ok(!readdirSync(dirname(file)).some((entry) => entry.includes('before-dario')))
  })
}

test('setup: shows the change and asks; without a yes nothing happens', async (t) => {
  const home = createHome(t)
  const file = put(home, '.claude/settings.json', '{}\n')
  for (const input of ['', 'n\n', '\n', 'maybe\n']) {
    const { code, stdout } = await runDario(t, home, ['setup', 'claude'], { input })
    deepStrictEqual([code, /\+ +"ANTHROPIC_BASE_URL"/.test(stdout), readFileSync(file, 'utf8')], [1, true, '{}\n'])
  }
  strictEqual((await runDario(t, home, ['setup', 'claude'], { input: 'y\n' })).code, 0)
  match(readFileSync(file, 'utf8'), /"ANTHROPIC_BASE_URL": "http:\/\/localhost:3456"/)
})

test('setup: --print only shows', async (t) => {
  const home = createHome(t)
  const { code, stdout } = await setup(t, home, 'codex', '--print')
  deepStrictEqual([code, readdirSync(home)], [0, []])
  match(stdout, /\+ base_url = "http:\/\/localhost:3999\/v1"/)
})

test('setup: a second time with another port keeps the first copy', async (t) => {
  const home = createHome(t)
  const file = put(home, '.codex/config.toml', SAMPLES['.toml'] ?? '')
  await setup(t, home, 'codex', '--yes')
  await runDario(t, home, ['setup', '--port', '4000', 'codex', '--yes'])
  const text = readFileSync(file, 'utf8')
  deepStrictEqual([text.includes('3999'), text.match(/4000/g)?.length, text.match(/\[model_providers\.dario\]/g)?.length], [false, 1, 1])
  await setup(t, home, 'codex', '--undo', '--yes')
  strictEqual(readFileSync(file, 'utf8'), SAMPLES['.toml'])
})

const EDITED = 'what the tool wrote later'
for (const again of [false, true]) {
  test(`setup: undo shows what was changed since${again ? ', also before a second setup' : ''}, refuses, and keeps it`, async (t) => {
    const home = createHome(t)
    const file = put(home, '.codex/config.toml', SAMPLES['.toml'] ?? '')
    await setup(t, home, 'codex', '--yes')
    writeFileSync(file, `${readFileSync(file, 'utf8')}\n[mcp_servers.new]\ncommand = "${EDITED}"\n`)
    if (again) await runDario(t, home, ['setup', '--port', '4000', 'codex', '--yes'])
    const now = readFileSync(file, 'utf8')
    for (const input of ['y\n', '']) {
      const { code, stdout, stderr } = await runDario(t, home, ['setup', 'codex', '--undo'], { input })
      deepStrictEqual([code, readFileSync(file, 'utf8')], [1, now])
      match(stdout, /was changed since it was set up:\n(?:.*\n)*\+ command = "what the tool wrote later"/)
      match(stderr, /nothing was changed: undo would lose that/)
    }
    strictEqual((await setup(t, home, 'codex', '--undo', '--yes')).code, 0)
    deepStrictEqual([readFileSync(file, 'utf8'), readFileSync(`${file}.undone-by-dario`, 'utf8')], [SAMPLES['.toml'], now])
    deepStrictEqual(readdirSync(dirname(file)).sort(), ['config.toml', 'config.toml.undone-by-dario'])
  })
}

test('setup: nothing to undo is said', async (t) => {
  const { code, stdout } = await setup(t, createHome(t), 'codex', '--undo')
  strictEqual(code, 0)
  match(stdout, /nothing to undo/)
})

test('setup: a link stays a link, and a mode stays', async (t) => {
  const home = createHome(t)
  const target = put(home, 'dotfiles/claude.json', '{}\n', 0o640)
  mkdirSync(join(home, '.claude'))
  symlinkSync(target, join(home, '.claude', 'settings.json'))
  await setup(t, home, 'claude', '--yes')
  strictEqual(lstatSync(join(home, '.claude', 'settings.json')).isSymbolicLink(), true)
  match(readFileSync(target, 'utf8'), /3999/)
  strictEqual(statSync(target).mode & 0o777, 0o640)
  await setup(t, home, 'claude', '--undo', '--yes')
  deepStrictEqual([readFileSync(target, 'utf8'), statSync(target).mode & 0o777], ['{}\n', 0o640])
})

test('setup: a file that is there under its other name is taken', async (t) => {
  const home = createHome(t)
  const file = put(home, '.config/opencode/opencode.jsonc', '{ /* mine */ }\n')
  await setup(t, home, 'opencode', '--yes')
  match(readFileSync(file, 'utf8'), /mine.*3999|3999.*mine/s)
  strictEqual(existsSync(join(home, '.config/opencode/opencode.json')), false)
})

test('setup: folders that the tool takes from a variable are honoured', async (t) => {
  const home = createHome(t)
  await runDario(t, home, ['setup', 'codex', '--yes'], { environment: { CODEX_HOME: join(home, 'elsewhere') } })
  strictEqual(existsSync(join(home, 'elsewhere', 'config.toml')), true)
})

test('setup: keys of the user are not shown', async (t) => {
  const home = createHome(t)
  put(home, '.claude/settings.json', '{ "env": {\n "ANTHROPIC_API_KEY": "sk-ant-do-not-show-me-1234"\n} }\n')
  const { stdout } = await setup(t, home, 'claude', '--yes')
  match(stdout, /sk-…/)
  doesNotMatch(stdout, /do-not-show/)
})

test('setup: an access key of dario is not shown, and another one in its place is a change to be seen', async (t) => {
  const home = createHome(t)
  for (const key of ['dario-0123456789abcdefghij', 'dario-zyxwvutsrqponmlkjihg', 'a-word-of-mine']) {
    const { code, stdout } = await runDario(t, home, ['setup', 'codex', '--yes'], { environment: { DARIO_ACCESS_KEY: key } })
    strictEqual(code, 0)
    match(stdout, /\+ experimental_bearer_token = "(?:dario-)?…"/)
    doesNotMatch(stdout, /0123456789|zyxwvu|of-mine/)
  }
})

test('setup: a key that the running dario does not take is warned of', async (t) => {
  const { url } = await startProxy(t, { accessKeys: [{ name: 'me', key: 'the-access-key-1' }] })
  const args = ['setup', 'aider', '--print', '--model', 'm', '--port', new URL(url).port]
  const setUp = async (key: string) => (await runDario(t, createHome(t), args, { environment: { DARIO_ACCESS_KEY: key } })).stderr
  match(await setUp('the-access-key-2'), /^warning: dario wants an access key that it knows; put it into DARIO_ACCESS_KEY/)
  strictEqual(await setUp('the-access-key-1'), '')
})

test('setup: a tool that is given echo for good, because there is nothing else yet, is told so', async (t) => {
  const home = createHome(t)
  match((await runDario(t, home, ['setup', 'aider', '--print'])).stderr, /echo only repeats.*dario setup aider --model NAME/)
  doesNotMatch((await runDario(t, home, ['setup', 'aider', '--print', '--model', 'echo'])).stderr, /echo/)
})

test('setup: a tool that is set up by hand is explained, with the values', async (t) => {
  const home = createHome(t)
  const { code, stdout } = await setup(t, home, 'cursor')
  strictEqual(code, 0)
  for (const part of [/http:\/\/localhost:3999\/v1/, /some-model/, /cannot reach localhost/, /source: https:/]) match(stdout, part)
  deepStrictEqual(readdirSync(home), [])
})

test('setup: without a name it lists every tool, also as JSON; a wrong name is answered with the right one', async (t) => {
  const home = createHome(t)
  match((await runDario(t, home, ['setup'])).stdout, /NAME +TOOL.*codex +Codex +responses +\/.*config\.toml/s)
  strictEqual((JSON.parse((await runDario(t, home, ['setup', '--json'])).stdout) as unknown[]).length, Object.keys(TOOLS).length)
  const wrong = await runDario(t, home, ['setup', 'claud'])
  strictEqual(wrong.code, 2)
  match(wrong.stderr, /did you mean claude/)
})

const HOSTILE: [title: string, tool: string, path: string, content: string | Buffer, says: RegExp][] = [
  ['broken JSON', 'claude', '.claude/settings.json', '{ "env": { }', /line 1 is not valid JSON/],
  ['JSON that is a list', 'claude', '.claude/settings.json', '[]', /no JSON object/],
  ['JSON with a member twice', 'claude', '.claude/settings.json', '{ "env": {}, "env": {} }', /not valid JSON/],
  ['JSON of half a merge', 'claude', '.claude/settings.json', '{\n<<<<<<< HEAD\n}', /line 2 is not valid JSON/],
  ['JSON5', 'openclaw', '.openclaw/openclaw.json', "{ models: { 'a': 1 } }", /not valid JSON/],
  ['deep nesting', 'claude', '.claude/settings.json', '{"a":'.repeat(20_000), /nested too deeply|not valid JSON/],
  ['bytes that are no text', 'claude', '.claude/settings.json', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), /not UTF-8/],
  ['a large file', 'claude', '.claude/settings.json', ' '.repeat(300_000), /too large/],
  ['broken TOML', 'codex', '.codex/config.toml', 'model = "o3\n', /not valid TOML/],
  ['TOML of half a merge', 'codex', '.codex/config.toml', '<<<<<<< HEAD\nmodel = "o3"\n', /not valid TOML/],
  ['a TOML list that never ends', 'codex', '.codex/config.toml', 'args = [\n"a",\n', /not valid TOML/],
  ['TOML with a table of our name', 'codex', '.codex/config.toml', '[model_providers.dario]\nname = "x"\n', /of its own/],
  ['broken YAML', 'aider', '.aider.conf.yml', 'read: [a, b\nmodel: x\n', /not valid YAML/],
  ['YAML with tabs', 'aider', '.aider.conf.yml', 'read:\n\t- x\n', /not valid YAML/],
  ['YAML of half a merge', 'aider', '.aider.conf.yml', '<<<<<<< HEAD\nmodel: x\n', /not valid YAML/],
  ['YAML with models on one line', 'continue', '.continue/config.yaml', 'models: [{ name: x }]\n', /cannot be added/],
  ['YAML with our key over several lines', 'aider', '.aider.conf.yml', 'model:\n  - x\n', /several lines/],
]
for (const [title, tool, path, content, says] of HOSTILE) {
  test(`setup: ${title} is left alone with a clear sentence`, async (t) => {
    const home = createHome(t)
    const file = put(home, path, content)
    const { code, stderr } = await setup(t, home, tool, '--yes')
    strictEqual(code, 1)
    match(stderr, /is left as it is: /)
    match(stderr, says)
    deepStrictEqual(readFileSync(file), Buffer.from(content))
    deepStrictEqual(readdirSync(dirname(file)).length, path.startsWith('.aider') ? readdirSync(home).length : 1)
  })
}

test('setup: a folder or a dead link in place of the file is left alone', async (t) => {
  const home = createHome(t)
  mkdirSync(join(home, '.claude', 'settings.json'), { recursive: true })
  match((await setup(t, home, 'claude', '--yes')).stderr, /is left as it is: it is not a file/)
  mkdirSync(join(home, '.codex'))
  symlinkSync(join(home, 'nowhere'), join(home, '.codex', 'config.toml'))
  match((await setup(t, home, 'codex', '--yes')).stderr, /is left as it is: it is a link that leads nowhere/)
})

const EDITS: [before: string, after: string][] = [
  ['', '{\n  "a": {\n    "b": 1\n  }\n}\n'],
  ['{}', '{\n  "a": {\n    "b": 1\n  }\n}'],
  ['{ "a": 5 }', '{ "a": {\n    "b": 1\n  } }'],
  ['{"a":{"b":2,"c":3}}', '{"a":{"b":1,"c":3}}'],
  ['{\n\t"x": [], // c\n}', '{\n\t"a": {\n\t\t"b": 1\n\t},\n\t"x": [], // c\n}'],
  ['\uFEFF{"a":{"b":1}}', '\uFEFF{"a":{"b":1}}'],
  ['{\r\n  "a": {}\r\n}\r\n', '{\r\n  "a": {\r\n    "b": 1\r\n  }\r\n}\r\n'],
  ['{ "__proto__": 1, "a": {} }', '{ "__proto__": 1, "a": {\n    "b": 1\n  } }'],
  ['{ "u": "// no comment", "a": { /* } */ } }', '{ "u": "// no comment", "a": {\n    "b": 1\n   /* } */ } }'],
]
for (const [before, after] of EDITS) {
  test(`settings: ${JSON.stringify(before)} is edited in place`, () => {
    strictEqual(editSettings(before, 'x.json', { json: { a: { b: 1 } } }), after)
  })
}

test('settings: lists keep what others put there; an older entry of ours goes', () => {
  const json = { list: [{ name: 'dario', port: 2 }] }
  const edited = JSON.parse(editSettings('{"list":[{"name":"other"},{"name":"dario","port":1}]}', 'x.json', { json })) as unknown
  deepStrictEqual(edited, { list: [{ name: 'dario', port: 2 }, { name: 'other' }] })
})

test('settings: TOML of many kinds is accepted, and its tables keep their keys', () => {
  const toml = 'a.b = 1\n"q r" = true\nd = 1979-05-27 07:32:00\nm = """\nmodel = "no"\n"""\ni = { x = [1, 2] }\n[[t]]\nmodel = "theirs"\n[a."b c"]\nx = [\n  [1],\n  "]", # ]\n]\n'
  const edited = editSettings(toml, 'x.toml', { top: 'model = "ours"\n', bottom: '[z]\ny = 1\n' })
  ok(edited.includes(toml) && edited.indexOf('model = "ours"') < edited.indexOf('[[t]]') && edited.trimEnd().endsWith('# <<< dario <<<'))
})

test('settings: JSON with any formatting keeps what it said and says what we want', async () => {
  await forAll((random) => makeObject(random, 3), (object) => {
    for (const text of [JSON.stringify(object), JSON.stringify(object, null, 2), JSON.stringify(object, null, '\t')]) {
      const edited = JSON.parse(editSettings(text, 'x.json', { json: { a: { b: 1 }, d: 'x' } })) as Record<string, unknown>
      const a = typeof object['a'] === 'object' && object['a'] !== null && !Array.isArray(object['a']) ? object['a'] : {}
      deepStrictEqual(edited, { ...object, a: { ...a, b: 1 }, d: 'x' })
    }
  })
})

function makeObject(random: Random, depth: number): Record<string, unknown> {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T
  const value = (): unknown => (depth > 0 && random(2) === 0 ? makeObject(random, depth - 1) : pick<unknown>([1, -0.5e10, true, null, '', 'x"y\\{', [], [1, { z: 2 }]]))
  return Object.fromEntries(Array.from({ length: random(4) }, () => [pick(['a', 'b', 'c', 'd', 'e f', '\u00e9"']), value()]))
}

test('settings: what cannot be read is refused with the place', () => {
  for (const text of ['{', '{"a"}', '{"a":}', '{"a":1 "b":2}', '{,}', '{"a":01}', '{} x', '{"a":tru}', "{'a':1}", '/* {}']) {
    throws(() => editSettings(text, 'x.json', { json: { a: 1 } }), /x\.json is left as it is: line 1 is not valid JSON/)
  }
})
