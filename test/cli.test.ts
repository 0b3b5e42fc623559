import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { COMMANDS } from '../src/cli/help.ts'
import { readVersion } from '../src/version.ts'
import { createHome, runDario, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { startProxy } from './helpers/proxy.ts'
import { until } from './helpers/until.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const SECRET = 'sk-do-not-print-me'
const PLAIN = ['--port', '0'] as const

function writeConfig(home: string, json: unknown): string {
  mkdirSync(join(home, '.dario'), { recursive: true, mode: 0o700 })
  const file = join(home, '.dario', 'config.json')
  writeFileSync(file, typeof json === 'string' ? json : JSON.stringify(json), { mode: 0o600 })
  return file
}

function readBackends(home: string): Record<string, Record<string, unknown>> {
  return (JSON.parse(readFileSync(join(home, '.dario', 'config.json'), 'utf8')) as { backends: Record<string, Record<string, unknown>> }).backends
}

const USAGE: [args: string[], code: number, says: RegExp][] = [
  [['--version'], 0, /^\d+\.\d+\.\d+/],
  [['-V'], 0, /^\d+\.\d+\.\d+/],
  [['version'], 0, /^\d+\.\d+\.\d+/],
  [['--help'], 0, /dario run TOOL\|COMMAND/],
  [['help'], 0, /dario --version/],
  [['run', '--help'], 0, /Usage: dario run \[options\] TOOL\|COMMAND \[ARGUMENT\.\.\.\]/],
  [['help'], 0, /dario run TOOL\|COMMAND/],
  [['help', 'backend'], 0, /dario backend add NAME/],
  [['help', 'backend', 'add'], 0, /--key-env NAME/],
  [['backend', '--help'], 0, /dario backend remove NAME/],
  [['bakend'], 2, /did you mean "dario backend"/],
  [['constructor'], 2, /no command/],
  [['backend'], 2, /one more word/],
  [['backend', 'ad', 'x'], 2, /did you mean "dario backend add"/],
  [['doctor', '--jsn'], 2, /did you mean --json/],
  [['--prot', '1'], 2, /did you mean --port/],
  [['doctor', '--json=yes'], 2, /takes no value/],
  [['proxy', '--port'], 2, /needs a value: N/],
  [['route', 'explain'], 2, /needs MODEL/],
  [['backend', 'list', 'x'], 2, /one word too many: x/],
  [['--json', 'backend', 'list'], 2, /the command comes first, then its options: dario backend/],
  [['--port', '0', 'doctor'], 2, /the command comes first, then its options: dario doctor/],
  [['help', 'proxy', 'x'], 0, /Start the endpoint/],
  [['help', 'backend', 'x'], 2, /no command "dario backend x"/],
  [['backend', 'add', 'x', '--config', '--json'], 2, /--config needs a value: FILE; .* --config=-/],
  [['run'], 2, /needs TOOL\|COMMAND/],
  [['backend', 'add', 'Foo'], 2, /cannot be a name/],
  [['backend', 'add', '../x'], 2, /cannot be a name/],
  [['backend', 'add', 'grok-like'], 2, /needs --base-url/],
  [['backend', 'add', 'groq', '--key', 'a', '--key-env', 'B'], 2, /exclude each other/],
  [['env', '--shell', 'tcsh'], 2, /one of bash, fish/],
  [['backend', 'add', 'x', '--base-url', 'ftp://x'], 2, /--base-url: must begin with http/],
  [['backend', 'remove', 'x'], 1, /no backend is called "x"/],
  [['backend', 'remove', 'echo'], 1, /no backend is called "echo" in .*config\.json/],
  [['backend', 'test', 'ecko'], 1, /did you mean "echo"/],
  [['route', 'remove', 'x'], 1, /no route for "x"/],
  [['route', 'add', 'x', 'nowhere'], 1, /no backend is called "nowhere"/],
  [['proxy', '--port', 'x'], 2, /--port: must be/],
  [['backend', 'add', 'x', '--base-url', 'http://localhost:1', '--type', 'foo'], 2, /--type: must be one of anthropic/],
  [['backend', 'add', 'x', '--base-url', 'http://localhost:1', '--speaks', 'chat,foo'], 2, /--speaks\[1\]: must be one of/],
  [['backend', 'add', 'x', '--base-url', 'http://localhost:1', '--key', 'a', '--no-key'], 2, /exclude each other/],
  [['key', 'add', 'ci', '--route', ','], 2, /--route needs a value/],
  [['shim', '--hosts', 'https://example.com', 'node'], 2, /--hosts takes names such as/],
  [['watch', '--url', 'nonsense'], 2, /--url: must be a URL/],
  [['env', '--port', '0'], 2, /port 0 .* --port/],
  [['setup', 'codex', '--port', '0'], 2, /port 0 .* --port/],
  [['setup', '--undo'], 2, /needs TOOL/],
  [['setup', 'codex', '--json'], 2, /--json is for the list/],
  [['proxy', ''], 2, /one word too many/],
  [['run', ''], 2, /needs TOOL\|COMMAND/],
  [['route', 'add', '', 'echo'], 2, /needs MODEL TO/],
  [['config', 'check'], 0, /does not exist; dario uses what it finds/],
]
for (const [args, code, says] of USAGE) {
  test(`cli: dario ${args.join(' ')} exits with ${code} and says ${says.source}`, async (t) => {
    const home = createHome(t)
    const finished = await runDario(t, home, args)
    match(code === 2 || code === 1 ? finished.stderr : finished.stdout, says)
    strictEqual(finished.code, code)
    strictEqual(existsSync(join(home, '.dario', 'config.json')), false)
  })
}

test('cli: every command has help with its options and an example', async (t) => {
  const home = createHome(t)
  await Promise.all(Object.keys(COMMANDS).map(async (name) => {
    const { code, stdout } = await runDario(t, home, [...name.split(' '), '--help'])
    strictEqual(code, 0)
    match(stdout, /Examples:\n {2}\S+/)
    doesNotMatch(stdout, /\u001b/)
    for (const line of stdout.split('\n')) ok(line.length <= 120, line)
  }))
})

test('cli: backend add takes a key on stdin, and never prints it again', async (t) => {
  const home = createHome(t)
  const added = await runDario(t, home, ['backend', 'add', 'openai'], { input: `${SECRET}\n` })
  strictEqual(added.code, 0)
  deepStrictEqual(readBackends(home)['openai'], { type: 'openai', baseUrl: 'https://api.openai.com', keys: [SECRET] })
  const listed = await runDario(t, home, ['backend', 'list', '--json'])
  const outputs = [added, listed, await runDario(t, home, ['backend', 'list']), await runDario(t, home, ['config', 'check', '--json'])]
  for (const { stdout, stderr } of outputs) ok(!(stdout + stderr).includes(SECRET))
  deepStrictEqual((JSON.parse(listed.stdout) as { backends: { keys: string[] }[] }).backends[0]?.keys, ['openai#1'])
})

test('cli: backend add takes a key in the arguments, with a note', async (t) => {
  const home = createHome(t)
  const { code, stderr, stdout } = await runDario(t, home, ['backend', 'add', 'openai', '--key', SECRET])
  strictEqual(code, 0)
  match(stderr, /other programs can see arguments/)
  ok(!(stderr + stdout).includes(SECRET))
})

test('cli: backend add with nothing on stdin takes the variable that usually holds the key, where it is set', async (t) => {
  const home = createHome(t)
  await runDario(t, home, ['backend', 'add', 'groq'], { environment: { GROQ_API_KEY: SECRET } })
  await runDario(t, home, ['backend', 'add', 'xai'])
  await runDario(t, home, ['backend', 'add', 'mistral'], { input: SECRET })
  await runDario(t, home, ['backend', 'add', 'mistral', '--speaks', 'chat'], { environment: { MISTRAL_API_KEY: 'another' } }) // has one
  const backends = readBackends(home)
  deepStrictEqual(['groq', 'xai', 'mistral'].map((name) => backends[name]?.['keys']), [['env:GROQ_API_KEY'], undefined, [SECRET]])
})

test('cli: backend add says that it waits for a key on stdin', async (t) => {
  const env = { PATH: process.env['PATH'], HOME: createHome(t) }
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), MAIN, 'backend', 'add', 'groq'], { env, stdio: 'pipe' })
  t.after(() => child.kill('SIGKILL'))
  const [said] = await withDeadline(once(child.stderr.setEncoding('utf8'), 'data') as Promise<[string]>, 30_000, 'a note')
  strictEqual(said, 'waiting for the key of groq on stdin; without one: --key-env NAME or --no-key\n')
  child.stdin.end(SECRET)
  const [code] = await withDeadline(once(child, 'exit') as Promise<[number]>, 10_000, 'the end')
  strictEqual(code, 0)
})

test('cli: backend add writes the name of a variable, not its value', async (t) => {
  const home = createHome(t)
  const { code } = await runDario(t, home, ['backend', 'add', 'groq', '--key-env', 'GROQ_API_KEY'], { environment: { GROQ_API_KEY: SECRET } })
  strictEqual(code, 0)
  deepStrictEqual(readBackends(home)['groq']?.['keys'], ['env:GROQ_API_KEY'])
})

test('cli: a key in place of the name of its variable is refused and not shown', async (t) => {
  const home = createHome(t)
  for (const key of ['sk-typed-by-mistake', 'gsk_0123456789abcdefghij']) {
    const { code, stdout, stderr } = await runDario(t, home, ['backend', 'add', 'groq', '--key-env', key])
    strictEqual(code, 2)
    match(stderr, /--key-env takes the name of a variable/)
    strictEqual((stdout + stderr).includes(key), false)
  }
  strictEqual(existsSync(join(home, '.dario', 'config.json')), false)
})

test('cli: backend add changes an existing entry and keeps its other settings', async (t) => {
  const home = createHome(t)
  writeConfig(home, { backends: { openai: { type: 'openai', maxQueue: 3, keys: ['old'] } } })
  await runDario(t, home, ['backend', 'add', 'openai', '--key', 'new'])
  deepStrictEqual(readBackends(home)['openai'], { type: 'openai', maxQueue: 3, keys: ['new'], baseUrl: 'https://api.openai.com' })
})

test('cli: backend add gives a configured backend another key and leaves its type, address and dialects', async (t) => {
  const home = createHome(t)
  const corp = { type: 'anthropic', baseUrl: 'http://127.0.0.1:1/corp', keys: ['old'], speaks: ['anthropic'] }
  writeConfig(home, { backends: { corp } })
  const { code } = await runDario(t, home, ['backend', 'add', 'corp', '--key-env', 'CORP_KEY'], { environment: { CORP_KEY: 'new' } })
  strictEqual(code, 0)
  deepStrictEqual(readBackends(home)['corp'], { ...corp, keys: ['env:CORP_KEY'] })
})

test('cli: routes of a wrong form are pointed at, not replaced', async (t) => {
  const home = createHome(t)
  const file = writeConfig(home, '{"routes": {"model": "a", "to": ["echo"]}}')
  const { code, stderr } = await runDario(t, home, ['route', 'add', 'b', 'echo'])
  strictEqual(code, 1)
  match(stderr, /config\.json:1:2: routes: must be a list/)
  strictEqual(readFileSync(file, 'utf8'), '{"routes": {"model": "a", "to": ["echo"]}}')
})

test('cli: a key where the name of a variable belongs is not shown', async (t) => {
  const home = createHome(t)
  writeConfig(home, { backends: { openai: { type: 'openai', keys: [`env:${SECRET}`] } } })
  const { stdout, stderr } = await runDario(t, home, ['config', 'check'])
  match(stderr, /backends\.openai\.keys\[0\]: what follows env: is no name of a variable/)
  ok(!(stdout + stderr).includes(SECRET))
})

test('cli: backend add --no-key takes the key away', async (t) => {
  const home = createHome(t)
  writeConfig(home, { backends: { corp: { type: 'openai', baseUrl: 'http://127.0.0.1:1', keys: ['old'] } } })
  strictEqual((await runDario(t, home, ['backend', 'add', 'corp', '--no-key'])).code, 0)
  deepStrictEqual(readBackends(home)['corp'], { type: 'openai', baseUrl: 'http://127.0.0.1:1' })
})

test('cli: backend add does not replace several keys by one', async (t) => {
  const home = createHome(t)
  const openai = { type: 'openai', keys: ['env:A', 'env:B'] }
  writeConfig(home, { backends: { openai } })
  const { code, stderr } = await runDario(t, home, ['backend', 'add', 'openai', '--key', SECRET])
  strictEqual(code, 1)
  match(stderr, /openai has 2 keys; change "keys" in .*config\.json/)
  deepStrictEqual(readBackends(home)['openai'], openai)
})

test('cli: DARIO_CONFIG moves the file', async (t) => {
  const home = createHome(t)
  strictEqual((await runDario(t, home, ['config', 'path'])).stdout, `${join(home, '.dario', 'config.json')}\n`)
  strictEqual((await runDario(t, home, ['config', 'path'], { environment: { DARIO_CONFIG: ' /x.json ' } })).stdout, '/x.json\n')
})

test('cli: a configuration that is named and not there is told of', async (t) => {
  const home = createHome(t)
  const checked = await runDario(t, home, ['config', 'check', '--config', 'typo.json'])
  deepStrictEqual([checked.code, checked.stderr], [1, 'warning: typo.json does not exist; dario uses what it finds\n'])
  const env = await runDario(t, home, ['env'], { environment: { DARIO_CONFIG: 'typo.json' } })
  deepStrictEqual([env.code, env.stderr], [0, 'warning: typo.json does not exist; dario uses what it finds\n'])
})

test('cli: backend add takes the key of a backend that is called like a member of Object', async (t) => {
  const home = createHome(t)
  await runDario(t, home, ['backend', 'add', 'constructor', '--base-url=http://127.0.0.1:1', '--speaks', 'chat'], { input: SECRET })
  deepStrictEqual(readBackends(home)['constructor']?.['keys'], [SECRET])
})

test('cli: backend add says what is wrong with the backends that are there', async (t) => {
  const home = createHome(t)
  writeConfig(home, '{\n  "backends": 5\n}')
  const { code, stderr } = await runDario(t, home, ['backend', 'add', 'openai', '--key', SECRET])
  strictEqual(code, 1)
  match(stderr, /config\.json:2:3: backends: must be an object/)
})

test('cli: a configuration that cannot be written is named with the reason', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'file'), '')
  const { code, stderr } = await runDario(t, home, ['key', 'add', 'me', '--config', join(home, 'file', 'config.json')])
  strictEqual(code, 1)
  match(stderr, /config\.json cannot be written \((?:ENOTDIR|EEXIST)\); check who owns it and its folder/)
})

test('cli: backend add asks an unknown server what it speaks, and writes that', async (t) => {
  const upstream = await startUpstream(t, ({ url }, response) => (
    /^\/v1\/(?:messages|chat\/completions)/.test(url) ? sendJson(response, 400, { error: { message: 'bad' } }) : sendJson(response, 404, {})))
  const home = createHome(t)
  const { code, stdout } = await runDario(t, home, ['backend', 'add', 'litellm', `--base-url=${upstream.url}/v1`, '--key', SECRET, '--json'])
  strictEqual(code, 0)
  deepStrictEqual((JSON.parse(stdout) as { speaks: string[] }).speaks, ['chat', 'anthropic'])
  deepStrictEqual(readBackends(home)['litellm']?.['speaks'], ['chat', 'anthropic'])
})

test('cli: a backend that a route uses is not removed', async (t) => {
  const home = createHome(t)
  writeConfig(home, { backends: { openai: { type: 'openai' } }, routes: [{ model: 'gpt-*', to: ['openai:x'] }] })
  const { code, stderr } = await runDario(t, home, ['backend', 'remove', 'openai'])
  strictEqual(code, 1)
  match(stderr, /first: dario route remove 'gpt-\*'/)
})

test('cli: a new route goes before the catch-all, and replaces one of the same pattern', async (t) => {
  const home = createHome(t)
  const file = writeConfig(home, { routes: [{ model: '*', to: ['echo'] }] })
  for (const args of [['a', 'echo'], ['b', 'echo:x'], ['a', 'echo:y'], ['c', 'echo', '--first']]) {
    strictEqual((await runDario(t, home, ['route', 'add', ...args])).code, 0)
  }
  deepStrictEqual((JSON.parse(readFileSync(file, 'utf8')) as { routes: unknown }).routes, [
    { model: 'c', to: ['echo'] }, { model: 'a', to: ['echo:y'] }, { model: 'b', to: ['echo:x'] }, { model: '*', to: ['echo'] },
  ])
  match((await runDario(t, home, ['route', 'list'])).stdout, /MODEL +TO\nc +echo\n/)
})

test('cli: the chain of a new route is separated by spaces or commas', async (t) => {
  const home = createHome(t)
  const { stdout } = await runDario(t, home, ['route', 'add', 'fast', 'echo:a, echo:b,', 'echo'])
  strictEqual(stdout, 'fast goes to echo:a, then echo:b, then echo\n')
})

test('cli: a route that is removed is told with what still names it', async (t) => {
  const home = createHome(t)
  writeConfig(home, {
    routes: [{ model: 'fast', to: ['echo'] }], budgets: [{ scope: 'route:fast', per: 'day', tokens: 5 }], accessKeys: [{ name: 'ci', key: 'k', routes: ['fast'] }],
  })
  const { code, stderr } = await runDario(t, home, ['route', 'remove', 'fast'])
  strictEqual(code, 0)
  match(stderr, /^warning: budgets\[0\]\.scope: no route is called "fast"/m)
  match(stderr, /^warning: accessKeys: "ci" may use a route "fast", and there is none/m)
})

test('cli: route explain says where a model goes', async (t) => {
  const { code, stdout } = await runDario(t, createHome(t), ['route', 'explain', 'echo:anything', '--json'])
  strictEqual(code, 0)
  deepStrictEqual((JSON.parse(stdout) as { chain: { backend: string }[] }).chain[0]?.backend, 'echo')
})

test('cli: config check names line and column, also as JSON', async (t) => {
  const home = createHome(t)
  const file = writeConfig(home, '{\n  "port": "x"\n}')
  const text = await runDario(t, home, ['config', 'check'])
  strictEqual(text.code, 1)
  match(text.stderr, /config\.json:2:3: port: must be/)
  const json = await runDario(t, home, ['config', 'check', '--json'])
  strictEqual(json.code, 1)
  const { valid, path } = JSON.parse(json.stdout) as { valid: boolean; path: string }
  deepStrictEqual([valid, path], [false, 'port'])
  strictEqual((await runDario(t, home, ['config', 'path'])).stdout, `${file}\n`)
})

test('cli: output in a pipe has no escape sequences', async (t) => {
  const home = createHome(t)
  for (const args of [['doctor'], ['backend', 'list'], ['nonsense'], ['backend', 'test', 'echo']]) {
    const { stdout, stderr } = await runDario(t, home, args, { environment: { FORCE_COLOR: '1', TERM: 'xterm-256color' } })
    doesNotMatch(stdout + stderr, /\u001b/)
  }
})

test('env: tools are told the address that dario listens on', async (t) => {
  const home = createHome(t)
  const told = async (host: string): Promise<string> =>
    (await runDario(t, home, ['env', '--shell', 'bash'], { environment: { DARIO_HOST: host, DARIO_ACCESS_KEY: 'k' } })).stdout
  match(await told('127.0.0.2'), /ANTHROPIC_BASE_URL='http:\/\/127\.0\.0\.2:3456'/)
  match(await told('0.0.0.0'), /ANTHROPIC_BASE_URL='http:\/\/localhost:3456'/)
  match(await told('fd00::1'), /ANTHROPIC_BASE_URL='http:\/\/\[fd00::1\]:3456'/)
})

test('env: the key that tools would lack is warned of, beside what the shell reads', async (t) => {
  const home = createHome(t)
  await runDario(t, home, ['key', 'add', 'me'])
  const { code, stderr } = await runDario(t, home, ['env'])
  strictEqual(code, 0)
  match(stderr, /^warning: dario wants an access key that it knows/)
  strictEqual((await runDario(t, home, ['env'], { environment: { DARIO_ACCESS_KEY: 'k' } })).stderr, '')
})

test('cli: an answer that no disk takes is a failure, and the reason is told', async (t) => {
  if (!existsSync('/dev/full')) return // not everywhere is there a disk that is always full
  const shell = spawn('sh', ['-c', 'exec "$@" > /dev/full', 'sh', process.execPath, '--import', import.meta.resolve('tsx'), MAIN, 'config', 'path'], {
    env: { PATH: process.env['PATH'], HOME: createHome(t) }, stdio: ['ignore', 'ignore', 'pipe'],
  })
  const stderr = readAll(shell.stderr)
  deepStrictEqual(await withDeadline(once(shell, 'exit'), 10_000, 'exit'), [1, null])
  match(await stderr, /the output cannot be written \(ENOSPC\)/)
})

test('cli: a reader that leaves early is no failure', async (t) => {
  const { child, finished } = startDario(t, createHome(t), ['doctor'])
  child.stdout?.destroy()
  const { stderr } = await finished
  doesNotMatch(stderr, /EPIPE|fault in dario/)
})

test('serve: the banner has the endpoint, what was found, what was not, and lines to paste', async (t) => {
  const started = startDario(t, createHome(t), [...PLAIN], { environment: { GROQ_API_KEY: SECRET } })
  const [, url = ''] = await started.says(/listens on (http:\/\/localhost:\d+)/)
  await started.says(/export OPENAI_BASE_URL=.*\n/)
  strictEqual(((await (await fetch(`${url}/health`)).json()) as { name: string }).name, 'dario')
  started.child.kill('SIGTERM')
  const { code, stdout } = await started.finished
  strictEqual(code, 0)
  match(stdout, /backends: groq \(GROQ_API_KEY\), echo/)
  match(stdout, /not found: .*openai \(OPENAI_API_KEY\)/)
  match(stdout, new RegExp(`export ANTHROPIC_BASE_URL=${url}\n`))
  ok(!stdout.includes(SECRET))
})

test('serve: W3: a second dario on the port is recognised, another program is named as such', async (t) => {
  const home = createHome(t)
  const first = startDario(t, home, [...PLAIN])
  const [, port = ''] = await first.says(/localhost:(\d+)/)
  const second = await runDario(t, home, ['proxy', '--port', port])
  strictEqual(second.code, 1)
  match(second.stderr, new RegExp(`dario ${readVersion()} already runs on port ${port}.*--port \\d+`))
  const other = createServer((_, response) => response.end('hello'))
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.after(() => other.close())
  const third = await runDario(t, home, ['proxy', '--port', String((other.address() as AddressInfo).port)])
  strictEqual(third.code, 1)
  match(third.stderr, /is taken by another program/)
})

test('serve: W4: an edit is taken, a bad one is reported and the old configuration kept', async (t) => {
  const home = createHome(t)
  const file = writeConfig(home, { backends: { a: { type: 'openai' } } })
  const started = startDario(t, home, [...PLAIN])
  await started.says(/export OPENAI_BASE_URL/)
  writeFileSync(file, '{ "backends": { } ')
  await started.says(/config\.json:1:19: not valid JSON.*dario goes on with the configuration it has/)
  writeFileSync(file, '{ "backends": { "b": { "type": "openai" } } }')
  await started.says(/configuration read again/)
  started.child.kill('SIGINT')
  strictEqual((await started.finished).code, 0)
})

test('serve: of two edits the later one holds, however long the first one takes', async (t) => {
  const home = createHome(t)
  const file = writeConfig(home, { backends: { a: { type: 'echo' } } })
  const marker = join(home, 'asked')
  writeFileSync(join(home, 'claude'), `#!/bin/sh\ntouch '${marker}'\nsleep 1\n`, { mode: 0o755 })
  const started = startDario(t, home, [...PLAIN], { environment: { PATH: `${home}:${process.env['PATH']}` } })
  const [, url = ''] = await started.says(/listens on (http:\/\/localhost:\d+)/)
  await started.says(/export OPENAI_BASE_URL/)
  writeFileSync(file, '{}')
  await until(() => existsSync(marker))
  writeFileSync(file, '{ "backends": { "b": { "type": "echo" } } }')
  await started.says(/configuration read again\n(?:.*\n)*configuration read again/)
  const { backends } = (await (await fetch(`${url}/health`)).json()) as { backends: { id: string }[] }
  deepStrictEqual(backends.map(({ id }) => id), ['b', 'echo'])
})

test('serve: an answer under way delays the end, a second signal does not wait for it', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const home = createHome(t)
  writeConfig(home, { backends: { slow: { type: 'openai', baseUrl: upstream.url } } })
  const started = startDario(t, home, [...PLAIN])
  const [, url = ''] = await started.says(/listens on (http:\/\/localhost:\d+)/)
  await started.says(/export OPENAI_BASE_URL/)
  const answer = fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"m","messages":[]}' }).catch(() => 'cut')
  await withDeadline(once(upstream.server, 'request'), 10_000, 'the request at the upstream')
  started.child.kill('SIGTERM')
  await started.says(/closing; answers under way/)
  strictEqual(started.child.exitCode, null)
  started.child.kill('SIGTERM')
  strictEqual((await withDeadline(started.finished, 5_000, 'the end')).code, 1)
  await answer
})

test('cli: the first configured backend says which found ones are no longer used', async (t) => {
  const { stderr } = await runDario(t, createHome(t), ['backend', 'add', 'groq', '--key-env', 'GROQ_API_KEY'], {
    environment: { GROQ_API_KEY: SECRET, MISTRAL_API_KEY: SECRET } })
  match(stderr, /dario backend add mistral --key-env MISTRAL_API_KEY/)
  doesNotMatch(stderr, /backend add groq/)
})

test('serve: Z4: an open address without an access key does not start', async (t) => {
  const { code, stderr } = await runDario(t, createHome(t), ['proxy', '--host', '0.0.0.0'])
  strictEqual(code, 1)
  match(stderr, /--host: 0\.0\.0\.0 lets other machines in/)
})

async function runNode(
  context: TestContext, home: string, script: string, environment: Record<string, string> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return runDario(context, home, ['run', '--port', '0', '--', process.execPath, '-e', script], { environment })
}

test('serve: an address that this machine does not have is named with what to do', async (t) => {
  const { code, stderr } = await runDario(t, createHome(t), ['--host', '203.0.113.1', ...PLAIN], { environment: { DARIO_ACCESS_KEY: 'k' } })
  strictEqual(code, 1)
  match(stderr, /cannot listen on 203\.0\.113\.1 \(EADDRNOTAVAIL\); .*--host/)
})

test('run: the child gets an endpoint that answers, and a key for it', async (t) => {
  const script = `fetch(process.env.ANTHROPIC_BASE_URL + '/health').then(async (r) => console.log(JSON.stringify({
    health: await r.json(), openai: process.env.OPENAI_BASE_URL, legacy: process.env.OPENAI_API_BASE, base: process.env.ANTHROPIC_BASE_URL,
    keys: [process.env.OPENAI_API_KEY, process.env.ANTHROPIC_API_KEY], token: process.env.ANTHROPIC_AUTH_TOKEN ?? null })))`
  const { code, stdout } = await runNode(t, createHome(t), script, { ANTHROPIC_AUTH_TOKEN: SECRET, OPENAI_API_KEY: SECRET })
  strictEqual(code, 0)
  const seen = JSON.parse(stdout) as { health: { name: string }; base: string; openai: string; legacy: string; keys: string[]; token: null }
  strictEqual(seen.health.name, 'dario')
  deepStrictEqual([seen.openai, seen.legacy, seen.token], [`${seen.base}/v1`, `${seen.base}/v1`, null])
  ok(seen.keys[0] === seen.keys[1] && seen.keys[0]?.length === 32)
})

test('run: a dario that runs is used', async (t) => {
  const home = createHome(t)
  const started = startDario(t, home, [...PLAIN])
  const [, port = ''] = await started.says(/localhost:(\d+)/)
  const { stdout } = await runDario(t, home, ['run', '--port', port, '--', process.execPath, '-p', 'process.env.OPENAI_BASE_URL'])
  strictEqual(stdout, `http://localhost:${port}/v1\n`)
})

test('run: where the dario that runs does not take our key, one of our own serves the child', async (t) => {
  const { url } = await startProxy(t, { accessKeys: [{ name: 'me', key: 'the-access-key-1' }] })
  const home = createHome(t)
  writeConfig(home, { port: Number(new URL(url).port) })
  const script = 'fetch(process.env.OPENAI_BASE_URL + "/models", { headers: { "x-api-key": process.env.ANTHROPIC_API_KEY } }).then((r) => console.log(r.status, process.env.OPENAI_BASE_URL))'
  for (const options of [[], ['--port', new URL(url).port]]) {
    const { stdout } = await runDario(t, home, ['run', ...options, '--', process.execPath, '-e', script], { environment: { DARIO_ACCESS_KEY: 'another-key' } })
    match(stdout, /^200 /)
    ok(!stdout.includes(`:${new URL(url).port}/`))
  }
})

test('run: what follows the command is the command\'s own, also without --', async (t) => {
  const { code, stdout } = await runDario(t, createHome(t), ['run', '--port', '0', process.execPath, '-e', 'console.log(process.argv.slice(1).join())', 'x', '--help', '-p'])
  strictEqual(code, 0)
  strictEqual(stdout, 'x,--help,-p\n')
})

test('run: X7: NO_PROXY is added to', async (t) => {
  const { stdout } = await runNode(t, createHome(t), 'console.log(process.env.NO_PROXY, process.env.no_proxy)', { NO_PROXY: 'a.example, localhost' })
  strictEqual(stdout, 'a.example,localhost,127.0.0.1,::1 a.example,localhost,127.0.0.1,::1\n')
})

test('run: W2: claude gets the token alone', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'claude'), '#!/bin/sh\necho "[$ANTHROPIC_AUTH_TOKEN] [$ANTHROPIC_API_KEY]"\n', { mode: 0o755 })
  const { stdout } = await runDario(t, home, ['run', '--port', '0', '--', join(home, 'claude')], { environment: { ANTHROPIC_API_KEY: SECRET } })
  match(stdout, /^\[[\w-]{32}\] \[\]\n$/)
})

test('run: the exit code is the child\'s, 127 for a command that is not there', async (t) => {
  const home = createHome(t)
  strictEqual((await runNode(t, home, 'process.exit(7)')).code, 7)
  strictEqual((await runNode(t, home, 'process.kill(process.pid, "SIGKILL")')).code, 137)
  const gone = await runDario(t, home, ['run', '--', 'no-such-command-here'])
  strictEqual(gone.code, 127)
  match(gone.stderr, /cannot be started \(ENOENT\)/)
})

test('run: a command that can never be started is no fault of dario', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'text'), 'no program')
  const { code, stderr } = await runDario(t, home, ['run', ...PLAIN, '--', join(home, 'text', 'x')])
  strictEqual(code, 126)
  match(stderr, /cannot be started \(ENOTDIR\); is it a program/)
})

test('run: signals go to the child, whose ending is ours; nothing is left behind', async (t) => {
  const home = createHome(t)
  const script = 'process.on("SIGTERM", () => process.exit(9)); setInterval(() => {}, 1000); console.log("pid", process.pid)'
  const started = startDario(t, home, ['run', '--port', '0', '--', process.execPath, '-e', script])
  const [, pid = ''] = await started.says(/pid (\d+)/)
  started.child.kill('SIGTERM')
  strictEqual((await started.finished).code, 9)
  let alive = true
  try { process.kill(Number(pid), 0) } catch { alive = false }
  strictEqual(alive, false)
  deepStrictEqual(readdirSync(home), [])
})

test('doctor: hides proxy passwords and names what overrides us, as JSON and as text', async (t) => {
  const home = createHome(t)
  mkdirSync(join(home, '.claude'))
  writeFileSync(join(home, '.claude', 'settings.json'), JSON.stringify({ env: { ANTHROPIC_BASE_URL: 'https://elsewhere.example', ANTHROPIC_API_KEY: SECRET } }))
  mkdirSync(join(home, '.codex'))
  writeFileSync(join(home, '.codex', 'config.toml'), `[model_providers.x]\nbase_url = "https://u:${SECRET}@elsewhere.example/v1"\n`)
  const environment = { HTTPS_PROXY: `http://user:${SECRET}@proxy.example:8080`, ANTHROPIC_API_KEY: 'dario', ANTHROPIC_AUTH_TOKEN: SECRET }
  const { stdout } = await runDario(t, home, ['doctor', '--json', '--port', '0'], { environment })
  const { checks } = JSON.parse(stdout) as { checks: { name: string; state: string; found: string; remedy?: string }[] }
  const found = (name: string): string | undefined => checks.find((check) => check.name === name)?.found
  match(found('proxy variables') ?? '', /HTTPS_PROXY=http:\/\/user:\*\*\*@proxy\.example:8080/)
  match(found('claude code') ?? '', /ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY/)
  match(found('codex') ?? '', /elsewhere\.example/)
  match(found('auth variables') ?? '', /both set/)
  for (const { state, remedy } of checks) strictEqual(state === 'ok', remedy === undefined)
  const text = await runDario(t, home, ['doctor', '--port', '0'], { environment })
  ok(!(stdout + text.stdout + text.stderr).includes(SECRET))
})

test('doctor: a variable that is no use is a failure like another, and named', async (t) => {
  const { code, stdout } = await runDario(t, createHome(t), ['doctor', '--port', '0'], { environment: { OPENAI_API_KEY: 'a b' } })
  strictEqual(code, 1)
  match(stdout, /fail {2}configuration: backends\.openai\.keys\[0\]: OPENAI_API_KEY has a space/)
})

test('doctor: a broken configuration is a failure with its line', async (t) => {
  const home = createHome(t)
  writeConfig(home, '{\n"x": 1}')
  const { code, stdout } = await runDario(t, home, ['doctor'])
  strictEqual(code, 1)
  match(stdout, /fail {2}configuration: .*config\.json:2:1: x: is not a setting/)
})

test('doctor: a backend that refuses its key is a failure, one that accepts it is not', async (t) => {
  const upstream = await startUpstream(t, ({ headers }, response) => (
    headers.authorization === 'Bearer good' ? sendJson(response, 200, { data: [{ id: 'm' }] }) : sendJson(response, 401, { error: { message: 'no' } })))
  const home = createHome(t)
  const backend = (key: string): unknown => ({ backends: { one: { type: 'openai', baseUrl: upstream.url, keys: [key] } } })
  writeConfig(home, backend('good'))
  strictEqual((await runDario(t, home, ['backend', 'test', 'one'])).code, 0)
  writeConfig(home, backend(SECRET))
  const refused = await runDario(t, home, ['backend', 'test', 'one'])
  strictEqual(refused.code, 1)
  const { code, stdout } = await runDario(t, home, ['doctor', '--port', '0'])
  strictEqual(code, 1)
  match(stdout, /fail {2}backend one: /)
  ok(!(stdout + refused.stdout).includes(SECRET))
})

test('doctor: an address that this machine does not have is a failure of the host, not of the port', async (t) => {
  const { code, stdout } = await runDario(t, createHome(t), ['doctor', '--port', '0'], { environment: { DARIO_HOST: '192.0.2.1', DARIO_ACCESS_KEY: 'k' } })
  strictEqual(code, 1)
  match(stdout, /fail {2}port: dario cannot listen on 192\.0\.2\.1 \(EADDRNOTAVAIL\)\n +-> .*DARIO_HOST/)
})
