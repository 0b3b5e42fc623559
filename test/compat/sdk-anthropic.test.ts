/**
 * The `@anthropic-ai/sdk` package's strict helpers on backends of all three dialects.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema'
import { z } from 'zod'
import { PIXEL } from './harness.ts'
import { BACKENDS, judgeRequests, setStage } from './stage.ts'
import type { Stage } from './stage.ts'

const LIMIT = { timeout: 30_000 }
const connect = ({ url }: Stage): Anthropic => new Anthropic({ baseURL: url, apiKey: 'placeholder', maxRetries: 0 })
const say = (content: Anthropic.MessageParam['content']): Anthropic.MessageParam => ({ role: 'user', content })
const WISH = 'Please `call weather {"city":"Pécs"};` and `call weather {"city":"Győr"};` all at once'
const ASK = { model: 'claude-of-the-stand-in', // the SDK warns of names that age
  max_tokens: 4000 }
const CITY = { type: 'object' as const, properties: { city: { type: 'string' as const } }, required: ['city'] }
const TOOL = { name: 'weather', description: 'Weather of a city', input_schema: CITY }
const RUNNABLE = betaTool({ name: 'weather', description: 'Weather of a city', inputSchema: CITY, run: ({ city }) => `${String(city)}: 22 degrees` })
const THINKS = { thinking: { type: 'enabled' as const, budget_tokens: 1500 } }
const textOf = (content: readonly { type: string; text?: string }[]): string => content.map((block) => block.type === 'text' ? block.text ?? '' : '').join('')

for (const backend of BACKENDS) {
  test(`anthropic stream on ${backend}: text and usage`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const stream = connect(stage).messages.stream({ ...ASK, system: 'Be brief.', messages: [say('Hello')] })
    let text = ''
    stream.on('text', (delta) => { text += delta })
    const final = await stream.finalMessage()
    deepStrictEqual([text, textOf(final.content), final.stop_reason], ['You said: Hello. ¡Olé! 🎉', 'You said: Hello. ¡Olé! 🎉', 'end_turn'])
    deepStrictEqual([final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens], [60, 40, 30])
    judgeRequests(stage, 1)
  })

  for (const streamed of [true, false]) test(`anthropic messages on ${backend}, ${streamed ? '' : 'not '}streamed: thinking, two calls at once and their results`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).messages
    const ask = async (messages: Anthropic.MessageParam[]): Promise<Anthropic.Message> => {
      const body = { ...ASK, ...THINKS, tools: [TOOL], messages }
      return streamed ? client.stream(body).finalMessage() : client.create(body)
    }
    const first = await ask([say(WISH)])
    const calls = first.content.flatMap((block) => block.type === 'tool_use' ? [block] : [])
    deepStrictEqual([first.stop_reason, calls.map(({ input }) => input)], ['tool_use', [{ city: 'Pécs' }, { city: 'Győr' }]])
    if (backend !== 'chat') ok(first.content[0]?.type === 'thinking' && first.content[0].thinking.startsWith('The user wants') && first.content[0].signature !== '')
    const results = calls.map(({ id, input }) => ({ type: 'tool_result' as const, tool_use_id: id, content: `${(input as { city: string }).city}: 22 degrees` }))
    const second = await ask([say(WISH), { role: 'assistant', content: first.content }, say(results)])
    strictEqual(textOf(second.content), 'The tools said: Pécs: 22 degrees | Győr: 22 degrees')
    const third = await ask([say(WISH), { role: 'assistant', content: first.content }, say(results), { role: 'assistant', content: second.content }, say('Thanks')])
    strictEqual(third.stop_reason, 'end_turn')
    judgeRequests(stage, 3)
  })

  for (const stream of [true, false]) test(`anthropic toolRunner on ${backend}, ${stream ? '' : 'not '}streamed: falls back from threads and keeps the history`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const body = { ...ASK, messages: [say(WISH)], tools: [RUNNABLE] } as Parameters<Anthropic['beta']['messages']['toolRunner']>[0]
    const final = await connect(stage).beta.messages.toolRunner({ ...body, stream }).runUntilDone() as Anthropic.Beta.BetaMessage
    strictEqual(textOf(final.content), 'The tools said: Pécs: 22 degrees | Győr: 22 degrees')
    if (backend !== 'anthropic') judgeRequests(stage, 2) // on its own API the refusal of threads is the vendor's
  })

  test(`anthropic messages on ${backend}: pictures, also in results, and errors of tools`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data: PIXEL }
    const call = { type: 'tool_use' as const, id: 'toolu_a', name: 'weather', input: { city: 'Pécs' } }
    const result = { type: 'tool_result' as const, tool_use_id: 'toolu_a', is_error: true, content: [{ type: 'text' as const, text: 'half' }, { type: 'image' as const, source }] }
    const first = await connect(stage).messages.create({ ...ASK, messages: [say([{ type: 'image', source }, { type: 'text', text: 'What?' }])] })
    ok(textOf(first.content).includes('I see 1 image(s)'))
    const second = await connect(stage).messages.create({
      ...ASK, tools: [TOOL], messages: [say('Hello'), { role: 'assistant', content: [call] }, say([result, { type: 'text', text: 'So?' }])],
    })
    ok(textOf(second.content).startsWith('The tools said:') && textOf(second.content).includes('half'), textOf(second.content))
    ok(JSON.stringify(stage.standIn.recorded.at(-1)?.body).includes(PIXEL.slice(0, 40)), 'the picture of the result arrives')
    judgeRequests(stage, 2)
  })

  test(`anthropic parse on ${backend}: structured output`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const format = zodOutputFormat(z.object({ city: z.string(), degrees: z.number(), tags: z.array(z.string()), mood: z.enum(['mild', 'wild']) }))
    const body = { ...ASK, messages: [say('Hello')], output_config: { format } }
    const expected = { city: 'x', degrees: 1, tags: [], mood: 'mild' }
    deepStrictEqual((await connect(stage).messages.parse(body)).parsed_output, expected)
    deepStrictEqual((await connect(stage).messages.stream(body).finalMessage()).parsed_output, expected)
    judgeRequests(stage, 2)
  })

  test(`anthropic messages on ${backend}: forced, forbidden and single tools; knobs; cache marks`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const client = connect(stage).messages
    const cache_control = { type: 'ephemeral' as const }
    const body = { ...ASK, tools: [{ ...TOOL, cache_control }], system: [{ type: 'text' as const, text: 'Be brief.', cache_control }], messages: [say([{ type: 'text', text: 'Hello', cache_control }])] }
    const forced = await client.create({ ...body, tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true } })
    strictEqual(forced.stop_reason, 'tool_use')
    strictEqual((await client.create({ ...body, tool_choice: { type: 'any' } })).stop_reason, 'tool_use')
    strictEqual((await client.create({ ...body, messages: [say(WISH)], tool_choice: { type: 'none' } })).stop_reason, 'end_turn')
    const knobs = { temperature: 0.5, top_k: 5, stop_sequences: ['a', 'b', 'c', 'd', 'e'], metadata: { user_id: 'x'.repeat(300) }, service_tier: 'auto' as const }
    await client.create({ ...body, ...knobs })
    judgeRequests(stage, 4)
  })

  test(`anthropic countTokens on ${backend}: a number`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    ok((await connect(stage).messages.countTokens({ model: ASK.model, messages: [say('Hello')] })).input_tokens > 0)
  })

  for (const [status, type, expected] of [
    [400, 'invalid_request_error', Anthropic.BadRequestError], [401, 'authentication_error', Anthropic.AuthenticationError], [403, 'permission_error', Anthropic.PermissionDeniedError],
    [404, 'not_found_error', Anthropic.NotFoundError], [429, 'rate_limit_error', Anthropic.RateLimitError], [500, 'api_error', Anthropic.InternalServerError], [529, 'overloaded_error', Anthropic.InternalServerError],
  ] as const) test(`anthropic on ${backend}: ${status} is a ${expected.name} with the vendor's words`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.fail({ status, type, message: 'said the upstream' })
    const client = connect(stage).messages
    for (const ask of [() => client.create({ ...ASK, messages: [say('Hello')] }), () => client.stream({ ...ASK, messages: [say('Hello')] }).finalMessage()])
      await rejects(async () => { await ask() }, (error) => {
      ok(error instanceof expected && error.message.includes('said the upstream'), String(error))
      return true
    })
  })

  test(`anthropic on ${backend}: an abort ends the upstream request`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.pace(50)
    const stream = connect(stage).messages.stream({ ...ASK, messages: [say('Hello')] })
    const left = stage.standIn.left()
    stream.on('text', () => stream.abort())
    await rejects(stream.finalMessage(), Anthropic.APIUserAbortError)
    await left
  })
}
