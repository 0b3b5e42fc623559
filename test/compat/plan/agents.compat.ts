/**
 * Whole agent loops of real clients of all three dialects, through dario, on the real `claude` program, which asks the
 * strict stand-in with a made-up key.
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionMessageParam, ChatCompletionTool } from 'openai/resources'
import { startProxy } from '../../helpers/proxy.ts'
import { until } from '../../helpers/until.ts'
import { claudeProgram, codexScript, makePlace, opencodeProgram, runProgram } from '../programs.ts'
import type { Place, Ran } from '../programs.ts'
import { startStandIn } from '../strict/server.ts'
import type { StandIn } from '../strict/server.ts'

const LIMIT = { timeout: 180_000 }
const MODEL = 'claude-sonnet-4-5'

interface Scene {
  url: string
  place: Place
  standIn: StandIn
  /** How many programs were started so far. */
  started(): number
  /** Ends the programs and looks that nothing of them is left. */
  close(): Promise<void>
}

async function setScene(context: TestContext): Promise<Scene> {
  const standIn = await startStandIn(context)
  const place = makePlace(context)
  const own = makePlace(context) // the plan's home is not the client's
  const temp = join(own.work, 'tmp')
  mkdirSync(temp)
  const { url, proxy } = await startProxy(context, {
    environment: { PATH: process.env['PATH'], HOME: own.home, TMPDIR: temp },
    backends: { plan: { type: 'claude-code', command: claudeProgram(), env: { ANTHROPIC_BASE_URL: standIn.url, ANTHROPIC_API_KEY: 'sk-ant-made-up' } } },
    routes: [{ model: '*', to: [`plan:${MODEL}`] }],
  })
  const folders = (): string[] => existsSync(temp) ? readdirSync(temp) : []
  return {
    url, place, standIn,
    started: () => folders().length,
    async close() {
      await proxy.close(0)
      await until(() => folders().length === 0)
    },
  }
}

function judge({ place, standIn }: Scene, { code, stdout, stderr }: Ran): void {
  const said = `exit ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-3000)}\n${standIn.refusals().join('\n')}`
  deepStrictEqual(standIn.refusals(), [], said)
  ok(stdout.includes('The tools said:') && stdout.includes(place.secret), said)
  strictEqual(code, 0, said)
  for (const { api, path } of standIn.recorded) deepStrictEqual([api, path], ['anthropic', '/v1/messages'])
}

test('real: opencode reads and runs through the plan (Anthropic)', LIMIT, async (context) => {
  const scene = await setScene(context)
  const { place, url } = scene
  const config = {
    model: `dario/${MODEL}`, small_model: `dario/${MODEL}`, autoupdate: false, share: 'disabled',
    provider: { dario: { npm: '@ai-sdk/anthropic', name: 'dario', options: { baseURL: `${url}/v1`, apiKey: 'placeholder' }, models: { [MODEL]: { name: MODEL } } } },
  }
  const ran = await runProgram(opencodeProgram(), ['run', `Do \`read ${place.file};\` and then \`run cat note.txt;\` please`], place, {
    OPENCODE_CONFIG_CONTENT: JSON.stringify(config), OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  })
  judge(scene, ran)
  await scene.close()
})

test('real: codex runs two commands through the plan (Responses)', LIMIT, async (context) => {
  const scene = await setScene(context)
  const settings = ['model_provider="dario"', `model_providers.dario={name="dario",base_url="${scene.url}/v1",wire_api="responses",env_key="DARIO_KEY"}`]
  const args = ['exec', ...settings.flatMap((setting) => ['-c', setting]), '--skip-git-repo-check', '-s', 'danger-full-access', '-m', 'gpt-5.1',
    'Do `run cat note.txt;` and then `run cat note.txt note.txt;` please']
  judge(scene, await runProgram(process.execPath, [codexScript(), ...args], scene.place, { DARIO_KEY: 'placeholder' }))
  await scene.close()
})

test('real: claude code itself, as a client, reads and runs through the plan', LIMIT, async (context) => {
  const scene = await setScene(context)
  const { place, url } = scene
  judge(scene, await runProgram(claudeProgram(), ['-p', `Do \`read ${place.file};\` and then \`run cat note.txt;\` please`, '--model', MODEL, '--allowedTools', 'Read,Bash'], place, {
    ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'placeholder', ANTHROPIC_DEFAULT_HAIKU_MODEL: MODEL, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1',
  }))
  await scene.close()
})

test('real: a script with the openai SDK loops over tools through the plan, streamed, two calls at once (Chat)', LIMIT, async (context) => {
  const scene = await setScene(context)
  const client = new OpenAI({ baseURL: `${scene.url}/v1`, apiKey: 'placeholder', maxRetries: 0 })
  const tool = (name: string): ChatCompletionTool => ({ type: 'function', function: { name, description: 'd', parameters: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] } } })
  const messages: ChatCompletionMessageParam[] = [
    { role: 'system', content: 'You are a script.' },
    { role: 'user', content: 'Do `call get {"n":1};` and `call put {"n":2};` all at once' },
  ]
  let turns = 0
  for (let done = false; !done && turns < 5; turns++) {
    const stream = client.chat.completions.stream({ model: MODEL, messages, tools: [tool('put'), tool('get')] })
    const message = (await stream.finalChatCompletion()).choices[0]!.message
    messages.push(message)
    done = message.tool_calls === undefined || message.tool_calls.length === 0
    for (const call of message.tool_calls ?? []) {
      ok(call.type === 'function')
      const { n } = JSON.parse(call.function.arguments) as { n: number }
      messages.push({ role: 'tool', tool_call_id: call.id, content: `${call.function.name} gave ${n * 100}` })
    }
  }
  strictEqual(turns, 2)
  match(String(messages.at(-1)?.content), /The tools said: get gave 100 \| put gave 200/)
  deepStrictEqual(scene.standIn.refusals(), [])
  strictEqual(scene.started(), 1) // both turns in one process
  await scene.close()
})
