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
  chat: ['gpt-4.1', 'gpt-5.1', 'deepseek-reasoner'],
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

async function runClaude({ place, url }: Scene, model: string, prompt: string, more: readonly string[] = []): Promise<Ran> {
  return runProgram(claudeProgram(), [...more, '-p', prompt, '--model', model, '--allowedTools', 'Read,Bash,Agent'], place, {
    ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'placeholder', ANTHROPIC_DEFAULT_HAIKU_MODEL: model, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1',
  })
}

const codexSettings = (url: string): string[] => [
  'model_provider="dario"', `model_providers.dario={name="dario",base_url="${url}/v1",wire_api="responses",env_key="DARIO_KEY"}`,
].flatMap((setting) => ['-c', setting])

async function runCodex({ place, url }: Scene, model: string, prompt: string, more: readonly string[] = []): Promise<Ran> {
  const args = ['exec', ...codexSettings(url), '--skip-git-repo-check', '-s', 'danger-full-access', '-m', model, ...more, prompt]
  return runProgram(process.execPath, [codexScript(), ...args], place, { DARIO_KEY: 'placeholder' })
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

for (const client of BACKENDS) for (const backend of BACKENDS) for (const model of MODELS[backend].slice(client === 'chat' ? 0 : 1)) {
  test(`opencode: a loop of two tools, asking in ${client}, on ${backend} ${model}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, model)
    const ran = await runOpenCode(scene, client, model, wish(scene.place))
    // This package knows the older name of the token limit only: dario learns the other from one refusal (Q10).
    if (client === 'chat' && backend === 'chat' && model === 'gpt-5.1') match(forgive(scene), /max_completion_tokens/)
    judge(scene, ran)
  })
}

for (const backend of ['chat', 'responses'] as const) {
  const ask = async (context: TestContext, prompt: (place: Place) => string, more: readonly string[] = []): Promise<[Scene, Ran]> => {
    const scene = await setScene(context, backend, 'gpt-5.1')
    return [scene, await runClaude(scene, 'claude-sonnet-4-5', prompt(scene.place), more)]
  }

  test(`claude code: a picture that its tool read reaches ${backend}`, LIMIT, async (t) => {
    const [scene, ran] = await ask(t, ({ picture }) => `Do \`read ${picture};\` and \`run cat note.txt;\` all at once`)
    judge(scene, ran)
    match(JSON.stringify(scene.standIn.recorded.at(-1)?.body), /data:image\/png;base64,/)
  })

  test(`claude code: a subagent has a loop of its own on ${backend}`, LIMIT, async (t) => {
    const [scene, ran] = await ask(t, () => 'Do `call Agent {"description":"look","subagent_type":"general-purpose","prompt":"do \\u0060run cat note.txt;\\u0060","run_in_background":false};`')
    judge(scene, ran)
    ok(scene.standIn.recorded.length >= 4, 'two requests of the subagent as well')
  })

  test(`claude code: a tool found by its search can be called on ${backend}`, LIMIT, async (t) => {
    const [scene, ran] = await ask(t, () => 'Do `call ToolSearch {"query":"select:TaskCreate"};` then `call TaskCreate {"subject":"s","description":"d"};` then `run cat note.txt;`')
    judge(scene, ran)
    ok(!ran.stdout.includes('NO TOOL'), ran.stdout)
  })

  test(`claude code: a conversation goes on in a second run on ${backend}`, LIMIT, async (t) => {
    const [scene, first] = await ask(t, wish)
    judge(scene, first)
    judge(scene, await runClaude(scene, 'claude-sonnet-4-5', 'And now `run cat note.txt note.txt;`', ['-c']))
  })

  test(`claude code: structured output on ${backend}`, LIMIT, async (t) => {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }
    const [scene, ran] = await ask(t, () => 'Do `call StructuredOutput {"city":"Pécs"};`', ['--json-schema', JSON.stringify(schema), '--output-format', 'json'])
    judgeRequests(scene)
    match(ran.stdout, /"structured_output":\{"city":"Pécs"\}/)
  })
}

for (const [backend, model] of [['anthropic', 'claude-sonnet-4-5'], ['chat', 'gpt-5.1'], ['responses', 'gpt-5.5']] as const) {
  test(`codex: a picture, a patch by its custom tool and a second run on ${backend}`, LIMIT, async (t) => {
    const scene = await setScene(t, backend, model)
    const patch = '*** Begin Patch\n*** Add File: made.txt\n+made; "by" patch\n*** End Patch\n'
    const first = await runCodex(scene, 'gpt-5.5', `Do \`run cat note.txt;\`, \`call apply_patch ${patch};\` and \`run cat made.txt;\``, [`--image=${scene.place.picture}`])
    judge(scene, first)
    match(first.stdout, /made; "by" patch/)
    match(JSON.stringify(scene.standIn.recorded.at(-1)?.body), /iVBORw0KGgo/)
    const { place, url } = scene
    const again = await runProgram(process.execPath, [codexScript(), 'exec', ...codexSettings(url), '--skip-git-repo-check', '-s', 'danger-full-access', '-m', 'gpt-5.5', 'resume', '--last', 'And `run cat note.txt made.txt;`'], place, { DARIO_KEY: 'placeholder' })
    judge(scene, again)
    match(again.stdout, /secret-[^]*made; "by" patch[^]*secret-[^]*made; "by" patch/)
  })
}
