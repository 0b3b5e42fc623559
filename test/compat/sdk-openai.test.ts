/**
 * The `openai` package's strict helpers on backends of all three dialects.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { PIXEL } from './harness.ts'
import { BACKENDS, judgeRequests, setStage } from './stage.ts'
import type { Stage } from './stage.ts'

const LIMIT = { timeout: 30_000 }
const connect = ({ url }: Stage): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'placeholder', maxRetries: 0 })
const say = (content: string): { role: 'user'; content: string }[] => [{ role: 'user', content }]
const IMAGE = `data:image/png;base64,${PIXEL}`
const WISH = 'Please `call weather {"city":"Pécs"};` and `call weather {"city":"Győr"};` all at once'
const SCHEMA = z.object({ city: z.string(), degrees: z.number(), tags: z.array(z.string()), mood: z.enum(['mild', 'wild']), near: z.object({ name: z.string() }).nullable() })
const CITY = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }
const CHAT_TOOL = { type: 'function' as const, function: { name: 'weather', description: 'Weather of a city', parameters: CITY } }
const RUNNABLE = { type: 'function' as const, function: {
  name: 'weather', description: 'Weather of a city', parameters: CITY, parse: JSON.parse, function: ({ city }: { city: string }) => `${city}: 22 degrees`,
} }
const TOOL = { type: 'function' as const, name: 'weather', description: 'Weather of a city', parameters: CITY, strict: true }

/** The stream helper adds members of its own, which its vendor refuses too. */
function toInput(output: readonly object[]): OpenAI.Responses.ResponseInputItem[] {
  return JSON.parse(JSON.stringify(output, (key, value: unknown) => key === 'parsed' || key === 'parsed_arguments' ? undefined : value)) as OpenAI.Responses.ResponseInputItem[]
}

for (const backend of BACKENDS) {
  test(`openai chat stream on ${backend}: text and usage`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const stream = connect(stage).chat.completions.stream({ model: 'm', messages: [{ role: 'system', content: 'Be brief.' }, ...say('Hello')], stream_options: { include_usage: true } })
    let text = ''
    stream.on('content', (delta) => { text += delta })
    const final = await stream.finalChatCompletion()
    deepStrictEqual([text, final.choices[0]?.message.content, final.choices[0]?.finish_reason], ['You said: Hello. ¡Olé! 🎉', 'You said: Hello. ¡Olé! 🎉', 'stop'])
    deepStrictEqual([final.usage?.prompt_tokens, final.usage?.completion_tokens, final.usage?.prompt_tokens_details?.cached_tokens], [100, 30, 40])
    judgeRequests(stage, 1)
  })

  for (const stream of [true, false]) test(`openai chat runTools on ${backend}, ${stream ? '' : 'not '}streamed: two calls at once and their results`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const body = { model: 'm', messages: say(WISH), tools: [RUNNABLE] }
    const client = connect(stage).chat.completions
    const runner = stream ? client.runTools({ ...body, stream: true }) : client.runTools(body)
    strictEqual(await runner.finalContent(), 'The tools said: Pécs: 22 degrees | Győr: 22 degrees')
    deepStrictEqual(runner.messages.flatMap((message) => 'tool_calls' in message && message.tool_calls ? message.tool_calls.map((call) => call.type === 'function' && JSON.parse(call.function.arguments)) : []), [{ city: 'Pécs' }, { city: 'Győr' }])
    judgeRequests(stage, 2)
  })

  test(`openai chat on ${backend}: a picture arrives`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const content = [{ type: 'image_url' as const, image_url: { url: IMAGE } }, { type: 'text' as const, text: 'What?' }]
    const { choices } = await connect(stage).chat.completions.create({ model: 'm', messages: [{ role: 'user', content }] })
    strictEqual(choices[0]?.message.content, 'You said: What?. I see 1 image(s). ¡Olé! 🎉')
    judgeRequests(stage, 1)
  })

  test(`openai chat parse on ${backend}: structured output`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).chat.completions
    const body = { model: 'm', messages: say('Hello'), response_format: zodResponseFormat(SCHEMA, 'weather') }
    const expected = { city: 'x', degrees: 1, tags: [], mood: 'mild' }
    const { near, ...parsed } = (await client.parse(body)).choices[0]!.message.parsed!
    ok(near === null || near.name === 'x')
    deepStrictEqual(parsed, expected)
    const streamed = await client.stream(body).finalChatCompletion()
    strictEqual(streamed.choices[0]?.message.parsed?.city, 'x')
    judgeRequests(stage, 2)
  })

  test(`openai chat on ${backend}: forced, forbidden and single tools`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).chat.completions
    const body = { model: 'm', messages: say('Hello'), tools: [CHAT_TOOL] }
    const named = await client.create({ ...body, tool_choice: { type: 'function', function: { name: 'weather' } }, parallel_tool_calls: false })
    strictEqual(named.choices[0]?.finish_reason, 'tool_calls')
    const required = await client.create({ ...body, tool_choice: 'required' })
    strictEqual(required.choices[0]?.message.tool_calls?.length, 1)
    const none = await client.create({ ...body, messages: say(WISH), tool_choice: 'none' })
    strictEqual(none.choices[0]?.finish_reason, 'stop')
    judgeRequests(stage, 3)
  })

  test(`openai chat on ${backend}: all its knobs are taken or left out`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    await connect(stage).chat.completions.create({
      // Only what a newer OpenAI model takes as well: on a chat backend the bytes are relayed.
      model: 'm', messages: [{ role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'Hello', name: 'ann' }, { role: 'assistant', content: '' }, ...say('So?')], max_completion_tokens: 100,
      reasoning_effort: 'low', seed: 1, store: true, metadata: { a: 'b' }, user: 'ann', prompt_cache_key: 'k', service_tier: 'auto', verbosity: 'low', n: 1,
    })
    judgeRequests(stage, 1)
  })

  test(`openai responses stream on ${backend}: text, reasoning, usage`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const stream = connect(stage).responses.stream({ model: 'm', instructions: 'Be brief.', input: 'Hello', reasoning: { effort: 'low', summary: 'auto' } })
    let text = ''
    stream.on('response.output_text.delta', ({ delta }) => { text += delta })
    const final = await stream.finalResponse()
    deepStrictEqual([text, final.output_text, final.status], ['You said: Hello. ¡Olé! 🎉', 'You said: Hello. ¡Olé! 🎉', 'completed'])
    deepStrictEqual([final.usage?.input_tokens, final.usage?.output_tokens, final.usage?.input_tokens_details.cached_tokens], [100, 30, 40])
    if (backend !== 'chat') ok(final.output[0]?.type === 'reasoning' && final.output[0].summary[0]?.text.startsWith('The user wants'))
    judgeRequests(stage, 1)
  })

  for (const stored of [true, false]) test(`openai responses on ${backend}: a tool loop ${stored ? 'by previous_response_id' : 'with the items sent back'}`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).responses
    const common = { model: 'm', tools: [TOOL], reasoning: { effort: 'low' as const, summary: 'auto' as const }, ...(stored ? {} : { store: false, include: ['reasoning.encrypted_content' as const] }) }
    const first = await client.stream({ ...common, input: say(WISH) }).finalResponse()
    const results = first.output.flatMap((item) => item.type === 'function_call'
      ? [{ type: 'function_call_output' as const, call_id: item.call_id, output: `${(JSON.parse(item.arguments) as { city: string }).city}: 22 degrees` }] : [])
    strictEqual(results.length, 2)
    const second = await client.stream(stored
      ? { ...common, previous_response_id: first.id, input: results }
      : { ...common, input: [...say(WISH), ...toInput(first.output), ...results] }).finalResponse()
    strictEqual(second.output_text, 'The tools said: Pécs: 22 degrees | Győr: 22 degrees')
    judgeRequests(stage, 2)
  })

  test(`openai responses parse on ${backend}: structured output and a picture`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).responses
    const { output_parsed } = await client.parse({ model: 'm', input: 'Hello', text: { format: zodTextFormat(SCHEMA, 'weather') } })
    strictEqual(output_parsed?.city, 'x')
    const seen = await client.create({ model: 'm', input: [{ role: 'user', content: [{ type: 'input_image', image_url: IMAGE, detail: 'auto' }, { type: 'input_text', text: 'What?' }] }] })
    ok(seen.output_text.includes('I see 1 image(s)'), seen.output_text)
    judgeRequests(stage, 2)
  })

  test(`openai responses on ${backend}: a custom tool takes raw text, there and back`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).responses
    const tools = [{ type: 'custom' as const, name: 'patch', description: 'Applies a patch' }]
    const prompt = say('`call patch *** Begin Patch "x";`')
    const first = await client.create({ model: 'm', tools, input: prompt, store: false, include: ['reasoning.encrypted_content'] })
    const call = first.output.find((item) => item.type === 'custom_tool_call')
    strictEqual(call?.input, '*** Begin Patch "x"')
    const second = await client.create({
      model: 'm', tools, store: false, include: ['reasoning.encrypted_content'],
      input: [...prompt, ...toInput(first.output), { type: 'custom_tool_call_output', call_id: call!.call_id, output: 'Done' }],
    })
    strictEqual(second.output_text, 'The tools said: Done')
    judgeRequests(stage, 2)
  })

  for (const [status, type, expected] of [
    [400, 'invalid_request_error', OpenAI.BadRequestError], [401, 'authentication_error', OpenAI.AuthenticationError], [403, 'permission_error', OpenAI.PermissionDeniedError],
    [404, 'not_found_error', OpenAI.NotFoundError], [429, 'rate_limit_error', OpenAI.RateLimitError], [500, 'api_error', OpenAI.InternalServerError],
  ] as const) test(`openai on ${backend}: ${status} is a ${expected.name} with the vendor's words`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.fail({ status, type, message: 'said the upstream' })
    const client = connect(stage)
    for (const ask of [
      () => client.chat.completions.create({ model: 'm', messages: say('Hello') }), () => client.chat.completions.stream({ model: 'm', messages: say('Hello') }).finalContent(),
      () => client.responses.create({ model: 'm', input: 'Hello' }), () => client.responses.stream({ model: 'm', input: 'Hello' }).finalResponse(),
    ]) await rejects(async () => { await ask() }, (error) => {
      ok(error instanceof expected && error.message.includes('said the upstream'), String(error))
      return true
    })
  })

  test(`openai on ${backend}: an abort ends the upstream request`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.pace(50)
    const client = connect(stage)
    const chat = client.chat.completions.stream({ model: 'm', messages: say('Hello') })
    chat.on('content', () => chat.abort())
    const responses = stage.standIn.left().then(() => client.responses.stream({ model: 'm', input: 'Hello' }))
    await rejects(chat.done(), OpenAI.APIUserAbortError)
    const stream = await responses
    const left = stage.standIn.left()
    stream.on('response.output_text.delta', () => stream.abort())
    await rejects(stream.done(), OpenAI.APIUserAbortError)
    await left
  })
}
