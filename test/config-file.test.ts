import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync, symlinkSync, utimesSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { editConfig, readConfig, watchConfig } from '../src/config/file.ts'
import type { ParsedConfig } from '../src/config/types.ts'
import { toHome } from '../src/config/values.ts'
import type { DarioError } from '../src/errors.ts'
import type { JsonObject } from '../src/hub/types.ts'
import { createHome, runDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'

function createFile(context: TestContext, text?: string): string {
  const folder = join(createHome(context), '.dario')
  mkdirSync(folder, { mode: 0o700 })
  const file = join(folder, 'config.json')
  if (text !== undefined) writeFileSync(file, text, { mode: 0o600 })
  return file
}

function readJson(file: string): JsonObject {
  return JSON.parse(readFileSync(file, 'utf8')) as JsonObject
}

test('config file: one that is missing is an empty one', (t) => {
  strictEqual(readConfig({ file: createFile(t) }).config.port, 3456)
})

test('config file: an error names file, line, column and path', (t) => {
  const file = createFile(t, '{\n  "backends": {\n    "a": { "type": "openai",\n      "prot": 1 }\n  }\n}')
  throws(() => readConfig({ file }), { message: `${file}:4:7: backends.a.prot: is not a setting; known: type, baseUrl, keys, speaks, timeouts, `
    + 'headers, dropBetas, models, maxConcurrent, maxQueue, command, configDir, env, idle, maxProcesses, warm' })
})

test('config file: an error of a variable does not blame the file', (t) => {
  throws(() => readConfig({ file: createFile(t, '{"port": 1}'), environment: { DARIO_PORT: 'x' } }), /^DarioError: DARIO_PORT: /)
})

test('config file: Z12: open modes are closed with a warning', (t) => {
  const file = createFile(t, '{}')
  chmodSync(file, 0o644)
  chmodSync(join(file, '..'), 0o755)
  const { warnings } = readConfig({ file })
  strictEqual(warnings.length, 2)
  match(warnings.join('\n'), /mode 755.*\n.*mode 644/)
  strictEqual(statSync(file).mode & 0o777, 0o600)
  strictEqual(statSync(join(file, '..')).mode & 0o777, 0o700)
  deepStrictEqual(readConfig({ file }).warnings, [])
})

test('config file: Z12: a folder that is not ours keeps its mode', (t) => {
  const folder = join(createHome(t), 'project')
  mkdirSync(folder, { mode: 0o755 })
  writeFileSync(join(folder, 'dario.json'), '{}')
  readConfig({ file: join(folder, 'dario.json') })
  strictEqual(statSync(folder).mode & 0o777, 0o755)
})

test('config file: an edit makes folder and file for the owner only', async (t) => {
  const file = join(createHome(t), 'new', '.dario', 'config.json')
  await editConfig({ file }, (json) => { json['port'] = 1 })
  strictEqual(readFileSync(file, 'utf8'), '{\n  "port": 1\n}\n')
  strictEqual(statSync(file).mode & 0o777, 0o600)
  strictEqual(statSync(join(file, '..')).mode & 0o777, 0o700)
  deepStrictEqual(readdirSync(join(file, '..')), ['config.json'])
})

test('config file: an edit keeps everything else, its order and its indentation', async (t) => {
  const file = createFile(t, '\uFEFF{\n\t"routes": [],\n\t"port": 1,\n\t"backends": {}\n}')
  await editConfig({ file }, (json) => { json['port'] = 2 })
  strictEqual(readFileSync(file, 'utf8'), '{\n\t"routes": [],\n\t"port": 2,\n\t"backends": {}\n}\n')
})

test('config file: an edit that would break it writes nothing', async (t) => {
  const file = createFile(t, '{"port":1}')
  await rejects(editConfig({ file }, (json) => { json['port'] = -1 }), { code: 'config_invalid' })
  strictEqual(readFileSync(file, 'utf8'), '{"port":1}')
  deepStrictEqual(readdirSync(join(file, '..')), ['config.json'])
})

test('config file: an edit that would break it names no place in a text that was never written', async (t) => {
  const file = createFile(t, '{\n  "port": 1\n}')
  await rejects(editConfig({ file }, (json) => { json['attempts'] = 0 }), { message: 'attempts: must be a whole number from 1 to 100' })
})

test('config file: an edit of a file that is wrong already names the place in it', async (t) => {
  const file = createFile(t, '{\n  "port": -1\n}')
  await rejects(editConfig({ file }, (json) => { json['attempts'] = 3 }), { message: new RegExp(`^${file}:2:3: port: `) })
})

test('config file: one that holds no object is named', (t) => {
  const file = createFile(t, '[]')
  throws(() => readConfig({ file }), { message: `${file}: the file: must be an object: { ... }` })
})

test('config file: a folder in its place is not a question of who owns it', (t) => {
  const file = createFile(t)
  mkdirSync(file)
  throws(() => readConfig({ file }), { message: `${file} cannot be read (EISDIR); name a file with --config or DARIO_CONFIG` })
})

test('config file: a link that leads nowhere is not replaced by a file', async (t) => {
  const file = createFile(t)
  symlinkSync(join(createHome(t), 'gone.json'), file)
  await rejects(editConfig({ file }, (json) => { json['port'] = 5 }), { code: 'config_invalid', message: /is a link that leads nowhere/ })
  ok(lstatSync(file).isSymbolicLink())
})

test('config file: an edit by another user leaves it to its owner', async (t) => {
  const file = createFile(t, '{}')
  // Only root can give a file away; for everyone else its owner is who edits it.
  if (process.getuid?.() === 0) chownSync(file, 4711, 4712)
  const before = statSync(file)
  await editConfig({ file }, (json) => { json['port'] = 5 })
  const { uid, gid } = statSync(file)
  deepStrictEqual([uid, gid], [before.uid, before.gid])
})

test('config file: an empty HOME is none, so that nothing is read from the folder that one is in', () => {
  strictEqual(toHome({ HOME: '' }), userInfo().homedir)
})

test('config file: a link into a folder of dotfiles stays a link', async (t) => {
  const file = createFile(t)
  const real = join(createHome(t), 'dotfiles.json')
  writeFileSync(real, '{}', { mode: 0o600 })
  symlinkSync(real, file)
  await editConfig({ file }, (json) => { json['port'] = 5 })
  ok(lstatSync(file).isSymbolicLink())
  strictEqual(readJson(real)['port'], 5)
})

test('config file: the lock of a dead process is broken', async (t) => {
  const file = createFile(t, '{}')
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  writeFileSync(`${file}.lock`, String(child.pid))
  await withDeadline(editConfig({ file }, (json) => { json['port'] = 5 }), 3_000, 'edit')
  ok(!existsSync(`${file}.lock`))
})

test('config file: an old lock is broken although its process id is in use again', async (t) => {
  const file = createFile(t, '{}')
  writeFileSync(`${file}.lock`, String(process.pid))
  utimesSync(`${file}.lock`, 1, 1)
  await withDeadline(editConfig({ file }, (json) => { json['port'] = 5 }), 3_000, 'edit')
})

test('config file: edits of this process wait for each other', async (t) => {
  const file = createFile(t, '{"aliases":{}}')
  await Promise.all(Array.from({ length: 20 }, (_, index) =>
    editConfig({ file }, (json) => { (json['aliases'] as JsonObject)[`a${index}`] = 'm' })))
  strictEqual(Object.keys(readJson(file)['aliases'] as JsonObject).length, 20)
})

test('config file: ten parallel `backend add` lose nothing', async (t) => {
  const home = createHome(t)
  const names = Array.from({ length: 10 }, (_, index) => `b${index}`)
  const results = await Promise.all(names.map((name) => runDario(t, home, [
    'backend', 'add', name, '--base-url=http://127.0.0.1:9/v1', '--speaks', 'chat', '--key', `k-${name}`])))
  deepStrictEqual(results.map(({ code }) => code), names.map(() => 0))
  const backends = readJson(join(home, '.dario', 'config.json'))['backends'] as Record<string, { keys: string[] }>
  deepStrictEqual(Object.keys(backends).sort(), names)
  for (const name of names) deepStrictEqual(backends[name]?.keys, [`k-${name}`])
})

test('config file: SIGKILL at any moment leaves a whole file that can be edited again', async (t) => {
  const file = createFile(t, '{"aliases":{}}')
  const script = `
    import { editConfig } from ${JSON.stringify(new URL('../src/config/file.ts', import.meta.url).href)}
    const filler = 'x'.repeat(200_000)
    console.log('ready')
    for (let turn = 0; ; turn++) await editConfig({ file: ${JSON.stringify(file)} }, (json) => { json.aliases = { turn: String(turn), filler } })`
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    await withDeadline(once(child.stdout, 'data'), 20_000, 'writer')
    const { mtimeMs } = statSync(file)
    // Killed in the middle of its work: after a number of writes of which none is the last.
    while (statSync(file).mtimeMs === mtimeMs) await new Promise((resolve) => setImmediate(resolve))
    for (let turn = 0; turn < round * 37; turn++) await new Promise((resolve) => setImmediate(resolve))
    child.kill('SIGKILL')
    await once(child, 'exit')
    ok(typeof (readJson(file)['aliases'] as JsonObject)['turn'] === 'string')
    await withDeadline(editConfig({ file }, (json) => { json['port'] = round }), 8_000, 'edit after a crash')
    strictEqual(readJson(file)['port'], round)
  }
  deepStrictEqual(readdirSync(join(file, '..')).filter((name) => name.endsWith('.lock')), [])
})

interface Watched {
  next(): Promise<ParsedConfig | DarioError>
}

function watchFor(context: TestContext, file: string): Watched {
  const queue: (ParsedConfig | DarioError)[] = []
  let wake = (): void => {}
  const take = (item: ParsedConfig | DarioError): void => { queue.push(item); wake() }
  const watcher = watchConfig({ file }, take, take)
  context.after(() => watcher.close())
  return {
    next: () => withDeadline((async () => {
      while (queue.length === 0) await new Promise<void>((resolve) => { wake = resolve })
      return queue.shift() as ParsedConfig | DarioError
    })(), 10_000, 'a change'),
  }
}

test('config file: W4: a change is seen, also by replacement', async (t) => {
  const file = createFile(t, '{"port": 1}')
  const watched = watchFor(t, file)
  writeFileSync(file, '{"port": 2}')
  strictEqual(((await watched.next()) as ParsedConfig).config.port, 2)
  writeFileSync(`${file}.new`, '{"port": 3}')
  renameSync(`${file}.new`, file)
  strictEqual(((await watched.next()) as ParsedConfig).config.port, 3)
})

test('config file: W4: a bad edit is reported with its line, the next good one is taken', async (t) => {
  const file = createFile(t, '{"port": 1}')
  const watched = watchFor(t, file)
  writeFileSync(file, '{\n  "port": 1,\n}')
  match(((await watched.next()) as DarioError).message, /config\.json:3:1: not valid JSON/)
  writeFileSync(file, '{\n  "port": "x"\n}')
  match(((await watched.next()) as DarioError).message, /config\.json:2:3: port: must be/)
  writeFileSync(file, '{\n  "port": 4\n}')
  strictEqual(((await watched.next()) as ParsedConfig).config.port, 4)
})

test('config file: a file that is made later, in a folder that is made later, is seen', async (t) => {
  const folder = join(createHome(t), '.dario')
  const watched = watchFor(t, join(folder, 'config.json'))
  mkdirSync(folder)
  writeFileSync(join(folder, 'config.json'), '{"port": 7}')
  strictEqual(((await watched.next()) as ParsedConfig).config.port, 7)
})

test('config file: W13: watching does not keep the process alive', async (t) => {
  const file = createFile(t, '{}')
  const script = `
    import { watchConfig } from ${JSON.stringify(new URL('../src/config/file.ts', import.meta.url).href)}
    watchConfig({ file: ${JSON.stringify(file)} }, () => {}, () => {})`
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script], { stdio: 'inherit' })
  t.after(() => child.kill('SIGKILL'))
  deepStrictEqual(await withDeadline(once(child, 'exit'), 10_000, 'exit'), [0, null])
})
