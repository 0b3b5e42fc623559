/**
 * The real programs by one command each, in an empty home: `dario run TOOL`, and again after `dario setup TOOL`, whose
 * `--undo` leaves the settings as they were.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { locate } from '../../src/cli/tool.ts'
import { TOOLS } from '../../src/cli/tools.ts'
import { buildDario } from '../helpers/built.ts'
import { backendsAt, startProxy } from '../helpers/proxy.ts'
import { claudeProgram, codexScript, findBinary, makePlace, opencodeProgram, runProgram } from './programs.ts'
import type { Place, Ran } from './programs.ts'
import { BACKENDS, MODEL } from './stage.ts'
import { startStandIn } from './strict/server.ts'
import type { Api, StandIn } from './strict/server.ts'

const BUILT = buildDario()
const LIMIT = { timeout: 180_000 }

interface Program {
  path(): string
  args(prompt: string): string[]
  /** What it does, where its tools have other names or other arguments than most. */
  wish?: string
  model?: string
}

const PROGRAMS: Readonly<Record<string, Program>> = {
  claude: { path: claudeProgram, args: (prompt) => ['-p', prompt, '--allowedTools', 'Read,Bash'] },
  codex: { path: codexScript, args: (prompt) => ['exec', '--skip-git-repo-check', '-s', 'danger-full-access', prompt], wish: 'run cat note.txt', model: 'gpt-5.1' },
  opencode: { path: opencodeProgram, args: (prompt) => ['run', prompt] },
  cline: { path: () => findBinary(['@cline/cli-PLATFORM'], ['bin/cline', 'bin/cline.exe']), args: (prompt) => [prompt], wish: 'call run_commands {"commands":["cat note.txt"]}' },
  continue: { path: () => findBinary(['@continuedev/cli'], ['dist/cn.js']), args: (prompt) => ['-p', prompt, '--auto'], wish: 'call Read {"filepath":"note.txt"}' },
  qwen: { path: () => findBinary(['@qwen-code/qwen-code'], ['cli.js']), args: (prompt) => [prompt, '--yolo'] },
  pi: { path: () => findBinary(['@mariozechner/pi-coding-agent'], ['dist/cli.js']), args: (prompt) => ['-p', prompt] },
}
const QUIET = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1', PI_OFFLINE: '1',
  OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
}

interface Scene { place: Place; standIn: StandIn; port: number; dario(...args: string[]): Promise<Ran>; direct(...args: string[]): Promise<Ran> }

/** An empty home but for dario's own configuration, and the programs in PATH. */
async function setScene(context: TestContext, name: string, backend: Api, renamed = false): Promise<Scene> {
  const [standIn, place] = [await startStandIn(context), makePlace(context)]
  const own = backend === 'anthropic' && !renamed ? [{ model: 'claude-*', to: [backend] }] : []
  const config = { backends: backendsAt(standIn.url), routes: [...own, { model: '*', to: [`${backend}:${MODEL[backend]}`] }] }
  const { url } = await startProxy(context, config)
  const port = Number(new URL(url).port)
  mkdirSync(join(place.home, '.dario'), { mode: 0o700 })
  writeFileSync(join(place.home, '.dario', 'config.json'), JSON.stringify(config), { mode: 0o600 })
  const bin = join(place.home, '..', 'bin')
  mkdirSync(bin)
  const program = PROGRAMS[name]!.path()
  chmodSync(program, 0o755)
  symlinkSync(program, join(bin, TOOLS[name]?.program ?? name))
  const environment = { ...QUIET, PATH: `${bin}:${process.env['PATH']}` }
  const start = (command: string, args: string[]): Promise<Ran> => runProgram(command, args, place, environment, 120_000)
  return {
    place, standIn, port,
    dario: (...args) => start(process.execPath, [join(BUILT, 'dist/cli/main.js'), ...args]),
    direct: (...args) => start(join(bin, TOOLS[name]?.program ?? name), args),
  }
}

function judge({ place, standIn }: Scene, { code, stdout, stderr }: Ran): void {
  const said = `exit ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}\n${JSON.stringify(standIn.recorded.map(({ path, status }) => [path, status]))}`
  // The newest OpenAI models refuse an older word once; dario learns from that.
  deepStrictEqual(standIn.refusals().filter((refusal) => !/max_completion_tokens/.test(refusal)), [], said)
  ok(stdout.includes(place.secret), said)
  strictEqual(code, 0, said)
  ok(standIn.recorded.length >= 2, said)
}

for (const [name, { args, wish, model }] of Object.entries(PROGRAMS)) {
  const prompt = ({ file }: Place): string => `Do \`${wish ?? `read ${file}`};\` please`
  for (const backend of ['anthropic', 'chat'] as const) {
    test(`dario run ${name}: a tool loop in an empty home, on ${backend}`, LIMIT, async (t) => {
      const scene = await setScene(t, name, backend)
      judge(scene, await scene.dario('run', '--port', '0', '--model', model ?? MODEL[backend], name, ...args(prompt(scene.place))))
    })
    test(`dario setup ${name}: a tool loop on ${backend}, and undo leaves nothing`, LIMIT, async (t) => {
      const scene = await setScene(t, name, backend)
      const files = (TOOLS[name]?.settings ?? []).map((settings) => locate(settings, { HOME: scene.place.home })[0] ?? '')
      const before = files.map((file) => existsSync(file) ? readFileSync(file, 'utf8') : undefined)
      const done = await scene.dario('setup', name, '--yes', '--port', String(scene.port), '--model', model ?? MODEL[backend])
      strictEqual(done.code, 0, done.stderr)
      judge(scene, await scene.direct(...args(prompt(scene.place))))
      strictEqual((await scene.dario('setup', name, '--undo', '--yes')).code, 0)
      deepStrictEqual(files.map((file) => existsSync(file) ? readFileSync(file, 'utf8') : undefined), before)
    })
  }
}

/** Each with the model that it takes by itself; Codex then offers its tools inside the conversation, to be called by a script. */
const UNASKED: readonly [name: string, wish: string][] = [
  ['claude', 'run cat note.txt'], ['codex', 'call exec text(await tools.exec_command({ cmd: "cat note.txt" }))'],
]
for (const [name, wish] of UNASKED) {
  for (const backend of BACKENDS) {
    test(`dario run ${name}: without a model named, on ${backend}`, LIMIT, async (t) => {
      const scene = await setScene(t, name, backend)
      judge(scene, await scene.dario('run', '--port', '0', name, ...PROGRAMS[name]!.args(`Do \`${wish};\` please`)))
    })
  }
}

test('dario run claude: a route to an older model costs Claude Code two refusals, and it goes on', LIMIT, async (t) => {
  const scene = await setScene(t, 'claude', 'anthropic', true)
  const { code, stdout, stderr } = await scene.dario('run', '--port', '0', 'claude', ...PROGRAMS['claude']!.args(`Do \`read ${scene.place.file};\` please`))
  ok(code === 0 && stdout.includes(scene.place.secret), stderr)
})
