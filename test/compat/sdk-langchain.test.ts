/**
 * LangChain's chat models on backends of all three dialects.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { ChatAnthropic } from '@langchain/anthropic'
import { AIMessageChunk, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages'
import type { BaseMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'
import { PIXEL } from './harness.ts'
import { BACKENDS, judgeRequests, MODEL, setStage } from './stage.ts'
import type { Stage } from './stage.ts'

const LIMIT = { timeout: 30_000 }
const WISH = 'Please `call weather {"city":"Pécs"};` and `call weather {"city":"Győr"};` all at once'
const SAID = 'The tools said: Pécs: 22 degrees | Győr: 22 degrees'
const weather = tool(({ city }: { city: string }) => `${city}: 22 degrees`, { name: 'weather', description: 'Weather of a city', schema: z.object({ city: z.string() }) })
const schema = z.object({ city: z.string(), degrees: z.number() })

const openai = ({ url, model }: Stage, useResponsesApi: boolean): ChatOpenAI =>
  new ChatOpenAI({ model, apiKey: 'placeholder', configuration: { baseURL: `${url}/v1` }, maxRetries: 0, useResponsesApi })
const CLIENTS: Record<string, (stage: Stage) => ChatOpenAI | ChatAnthropic> = {
  'openai chat': (stage) => openai(stage, false),
  'openai responses': (stage) => openai(stage, true),
  anthropic: ({ url }) => new ChatAnthropic({ model: MODEL.anthropic, apiKey: 'placeholder', anthropicApiUrl: url, maxRetries: 0 }),
}
type Chat = ChatOpenAI // both have the same methods; a union of their overloads cannot be called

async function collect(model: { stream(messages: BaseMessage[]): Promise<AsyncIterable<AIMessageChunk>> }, messages: BaseMessage[]): Promise<AIMessageChunk> {
  let whole: AIMessageChunk | undefined
  for await (const chunk of await model.stream(messages)) whole = whole === undefined ? chunk : whole.concat(chunk)
  return whole!
}

for (const [name, make] of Object.entries(CLIENTS)) for (const backend of BACKENDS) {
  const title = `langchain ${name} on ${backend}`
  const connect = (stage: Stage): Chat => make(stage) as Chat

  for (const streamed of [false, true]) test(`${title}, ${streamed ? 'stream' : 'invoke'}: two calls at once and their results`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const model = connect(stage).bindTools([weather])
    const ask = (messages: BaseMessage[]): Promise<AIMessageChunk> => streamed ? collect(model, messages) : model.invoke(messages)
    const messages: BaseMessage[] = [new SystemMessage('Be brief.'), new HumanMessage(WISH)]
    const first = await ask(messages)
    deepStrictEqual(first.tool_calls?.map(({ args }) => args), [{ city: 'Pécs' }, { city: 'Győr' }])
    const results = await Promise.all(first.tool_calls!.map((call) => weather.invoke(call) as Promise<ToolMessage>))
    const second = await ask([...messages, first, ...results])
    strictEqual(second.text, SAID)
    // LangChain adds up what an Anthropic stream says at its start and end, and takes the input from its start alone.
    const { usage_metadata: usage } = second as unknown as { usage_metadata?: { input_tokens: number; output_tokens: number } }
    if (!(streamed && name === 'anthropic')) deepStrictEqual([usage?.input_tokens, usage?.output_tokens], [100, 30])
    judgeRequests(stage, 2)
  })

  test(`${title}: a picture and structured output`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const model = connect(stage)
    const image = name === 'anthropic'
      ? { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } } : { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } }
    match((await model.invoke([new HumanMessage({ content: [{ type: 'text', text: 'What?' }, image] })])).text, /I see 1 image\(s\)/)
    for (const method of ['functionCalling', 'jsonSchema'] as const)
      deepStrictEqual(await model.withStructuredOutput(schema, { name: 'weather', method }).invoke('Hello'), { city: 'x', degrees: 1 })
    judgeRequests(stage, 3)
  })

  test(`${title}: a refusal has its status`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    for (const status of [400, 401, 429, 500]) {
      stage.standIn.fail({ status, type: 'invalid_request_error', message: 'said the upstream' })
      await rejects(connect(stage).invoke('Hello'), (error: Error & { status?: number }) => {
        ok(error.status === status && error.message.includes('said the upstream'), `${error.status} ${error.message}`)
        return true
      })
    }
  })

  test(`${title}: an abort ends the upstream request`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.pace(50)
    const abort = new AbortController()
    const left = stage.standIn.left()
    await rejects(async () => {
      for await (const chunk of await connect(stage).stream('Hello', { signal: abort.signal })) if (chunk.text !== '') abort.abort()
    })
    await left
  })
}
