import { deepStrictEqual, doesNotMatch, match, strictEqual } from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { runDario, startDario } from './helpers/command.ts'
import { installFakeClaude } from './helpers/fake-claude.ts'
import type { FakeClaude, Scenario } from './helpers/fake-claude.ts'
import { post } from './helpers/plan-proxy.ts'
import { until } from './helpers/until.ts'

/** The fake program on PATH, in a home of its own. */
async function install(context: TestContext, scenario: Scenario = {}): Promise<{ fake: FakeClaude; home: string; options: { environment: Record<string, string> } }> {
  const fake = await installFakeClaude(context, scenario)
  const environment = { PATH: `${join(fake.folder, 'bin')}:${process.env['PATH']}`, TMPDIR: join(fake.folder, 'tmp') }
  return { fake, home: fake.folder, options: { environment } }
}

function configure(home: string, json: unknown): void {
  mkdirSync(join(home, '.dario'), { recursive: true, mode: 0o700 })
  writeFileSync(join(home, '.dario', 'config.json'), JSON.stringify(json), { mode: 0o600 })
}

test('plan: a program that is logged in is found, stands before a metered key and is told in the banner', async (context) => {
  const { home, options } = await install(context)
  const environment = { ...options.environment, ANTHROPIC_API_KEY: 'sk-ant-made-up-SECRET' }
  const dario = startDario(context, home, ['--port', '0'], { environment })
  const [, url = ''] = await dario.says(/listens on (http:\S+)/)
  await dario.says(/plan \(claude program, logged in\), anthropic \(ANTHROPIC_API_KEY\)/)
  await dario.says(/claude models go to the plan; anthropic.MODEL uses the key/)
  await dario.says(/plan: claude 2\.1\.330, logged in \(claude\.ai\)/)
  const { response, text } = await post(url, 'chat', [{ role: 'user', content: 'hello' }])
  deepStrictEqual([response.headers.get('dario-backend'), text], ['plan', '1: hello'])
  dario.child.kill('SIGTERM')
  strictEqual((await dario.finished).code, 0)
})

test('plan: a program that is not logged in is no backend, and doctor says how to log in', async (context) => {
  const { home, options } = await install(context, { loggedIn: false })
  const list = await runDario(context, home, ['backend', 'list'], options)
  doesNotMatch(list.stdout, /claude-code/)
  const { stdout } = await runDario(context, home, ['doctor'], options)
  match(stdout, /warn {2}claude: claude 2\.1\.330, not logged in\n +-> .*claude auth login/)
})

test('plan: a configured plan that is not logged in is told at the start, in the list and as a failure by doctor', async (context) => {
  const { home, options } = await install(context, { loggedIn: false })
  configure(home, { port: 0, backends: { mine: { type: 'claude-code' } } })
  const dario = startDario(context, home, [], options)
  await dario.says(/warning: mine: not logged in; run "claude auth login"/)
  dario.child.kill('SIGTERM')
  await dario.finished
  const list = await runDario(context, home, ['backend', 'list'], options)
  match(list.stdout, /mine +claude-code +anthropic +claude 2\.1\.330, not logged in .*bin\/claude/)
  match(list.stderr, /mine: not logged in; run "claude auth login"/)
  const { code, stdout } = await runDario(context, home, ['doctor'], options)
  match(stdout, /fail {2}backend mine: claude 2\.1\.330, not logged in\n +-> .*claude auth login/)
  strictEqual(code, 1)
})

test('plan: an old program is a warning with the number, and serves', async (context) => {
  const { home, options } = await install(context, { version: '2.0.5 (Claude Code)' })
  configure(home, { port: 0, backends: { mine: { type: 'claude-code' } } })
  const { code, stdout } = await runDario(context, home, ['doctor'], options)
  match(stdout, /warn {2}backend mine: claude 2\.0\.5, logged in \(claude\.ai\)\n +-> .*older than 2\.1\.330/)
  strictEqual(code, 0)
})

test('plan: backend list and doctor show the limits that the running dario knows', async (context) => {
  const { home, options } = await install(context)
  configure(home, { port: 0, backends: { mine: { type: 'claude-code' } } })
  const dario = startDario(context, home, [], options)
  const [, url = ''] = await dario.says(/listens on (http:\S+)/)
  await post(url, 'anthropic', [{ role: 'user', content: 'hello' }])
  await until(async () => (await (await fetch(`${url}/health`)).text()).includes('windows')) // told after the answer
  const running = { environment: { ...options.environment, DARIO_PORT: new URL(url).port } }
  const list = await runDario(context, home, ['backend', 'list'], running)
  match(list.stdout, /claude 2\.1\.330, logged in \(claude\.ai\); 25 % of 5 hours used until 1970-01-01T01:23Z; 50 % of 7 days used/)
  const json = JSON.parse((await runDario(context, home, ['backend', 'list', '--json'], running)).stdout) as { backends: { name: string; plan?: { windows: { used: number }[] } }[] }
  deepStrictEqual(json.backends.find(({ name }) => name === 'mine')?.plan?.windows.map(({ used }) => used), [0.25, 0.5])
  const { stdout } = await runDario(context, home, ['doctor'], running)
  match(stdout, /ok {4}backend mine: claude 2\.1\.330, logged in \(claude\.ai\); 25 % of 5 hours used/)
})

test('plan: a second login has its own folder, by the name of its backend', async (context) => {
  const { fake, home, options } = await install(context)
  configure(home, { port: 0, backends: { mine: { type: 'claude-code' }, work: { type: 'claude-code', configDir: join(home, 'second') } } })
  const dario = startDario(context, home, [], options)
  const [, url = ''] = await dario.says(/listens on (http:\S+)/)
  for (const model of ['mine:sonnet', 'work:sonnet']) {
    const { response } = await post(url, 'anthropic', [{ role: 'user', content: model }], { model })
    strictEqual(response.headers.get('dario-backend'), model.split(':')[0])
  }
  deepStrictEqual(fake.records('start').map(({ env }) => (env as Record<string, string>)['CLAUDE_CONFIG_DIR']), [undefined, join(home, 'second')])
  dario.child.kill('SIGTERM')
  strictEqual((await dario.finished).code, 0)
})
