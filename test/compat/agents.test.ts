/**
 * Whole agent loops: the real programs, through a real dario, on backends that refuse what the real ones would.
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { claudeProgram, codexScript, makePlace, opencodeProgram, runProgram } from './programs.ts'
import { BACKENDS, judgeRequests, setStage } from './stage.ts'
import type { Place, Ran } from './programs.ts'
import type { Stage } from './stage.ts'
import type { Api } from './strict/server.ts'

const LIMIT = { timeout: 120_000 }
const MODELS: Record<Api, readonly string[]> = {
  anthropic: ['claude-sonnet-4-5', 'claude-opus-4-8'],
  chat: ['gpt-4.1', 'gpt-5.1'],
  responses: ['gpt-4.1', 'gpt-5.1'],
}

interface Scene extends Stage {
  place: Place
}

async function setScene(context: TestContext, backend: Api, model: string): Promise<Scene> {
  return { ...await setStage(context, backend, model), place: makePlace(context) }
}

function judge(scene: Scene, { code, stdout, stderr }: Ran): void {
  const { place, standIn } = scene
  const said = `exit ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-3000)}\n${standIn.refusals().join('\n')}`
  deepStrictEqual(standIn.refusals(), [], said)
  ok(stdout.includes('The tools said:') && stdout.includes(place.secret), said)
  strictEqual(code, 0, said)
  ok(standIn.recorded.length >= 2, 'a loop takes two requests at least')
  judgeRequests(scene)
}

/** Takes the first refusal out of the record. */
function forgive({ standIn: { recorded } }: Scene): string {
  const [refused] = recorded.splice(recorded.findIndex(({ refusal }) => refusal !== undefined), 1)
  return refused?.refusal ?? ''
}

const wish = ({ file }: Place): string => `Do \`read ${file};\` and then \`run cat note.txt;\` please`
const wishBoth = (place: Place): string => `${wish(place)}, all at once`
const wishRun = (): string => 'Do `run cat note.txt;` and then `run cat note.txt note.txt;` please'

async function runClaude({ place, url }: Scene, model: string, prompt: string): Promise<Ran> {
  return runProgram(claudeProgram(), ['-p', prompt, '--model', model, '--allowedTools', 'Read,Bash'], place, {
    ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'placeholder', ANTHROPIC_DEFAULT_HAIKU_MODEL: model, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1',
  })
}

async function runCodex({ place, url }: Scene, model: string, prompt: string): Promise<Ran> {
  const settings = [
    'model_provider="dario"', `model_providers.dario={name="dario",base_url="${url}/v1",wire_api="responses",env_key="DARIO_KEY"}`,
  ].flatMap((setting) => ['-c', setting])
  return runProgram(process.execPath, [codexScript(), 'exec', ...settings, '--skip-git-repo-check', '-s', 'danger-full-access', '-m', model, prompt], place, { DARIO_KEY: 'placeholder' })
}

const OPENCODE_PACKAGES: Record<Api, string> = { anthropic: '@ai-sdk/anthropic', chat: '@ai-sdk/openai-compatible', responses: '@ai-sdk/openai' }

async function runOpenCode({ place, url }: Scene, client: Api, model: string, prompt: string): Promise<Ran> {
  const config = {
    model: `dario/${model}`, small_model: `dario/${model}`, autoupdate: false, share: 'disabled',
    provider: { dario: { npm: OPENCODE_PACKAGES[client], name: 'dario', options: { baseURL: `${url}/v1`, apiKey: 'placeholder' }, models: { [model]: { name: model } } } },
  }
  return runProgram(opencodeProgram(), ['run', prompt], place, {
    OPENCODE_CONFIG_CONTENT: JSON.stringify(config), OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  })
}

for (const backend of BACKENDS) for (const model of MODELS[backend]) {
  test(`claude code: a loop of two tools on ${backend} ${model}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, model)
    judge(scene, await runClaude(scene, backend === 'anthropic' ? model : 'claude-sonnet-4-5', wish(scene.place)))
  })
}

for (const backend of ['chat', 'responses'] as const) {
  test(`claude code: under the backend's own model name, with two tools at once, on ${backend}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, 'gpt-5.1')
    judge(scene, await runClaude(scene, 'gpt-5.1', wishBoth(scene.place)))
  })
}

// A model that does not reason is refused what Codex always asks, so there it has to be translated.
const CODEX = BACKENDS.flatMap((backend) => MODELS[backend].map((model) => [backend, model] as const))
  .filter(([backend, model]) => backend !== 'responses' || model === 'gpt-5.1')

for (const [backend, model] of CODEX) {
  test(`codex: a loop of two tools on ${backend} ${model}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, model)
    judge(scene, await runCodex(scene, 'gpt-5.1', wishRun()))
  })
}

for (const client of BACKENDS) for (const backend of BACKENDS) for (const model of MODELS[backend].slice(client === 'chat' ? 0 : -1)) {
  test(`opencode: a loop of two tools, asking in ${client}, on ${backend} ${model}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, model)
    const ran = await runOpenCode(scene, client, model, wish(scene.place))
    // This package knows the older name of the token limit only: dario learns the other from one refusal (Q10).
    if (client === 'chat' && backend === 'chat' && model === 'gpt-5.1') match(forgive(scene), /max_completion_tokens/)
    judge(scene, ran)
  })
}
