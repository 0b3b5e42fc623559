/**
 * The AI SDK with its four ways of asking, on backends of all three dialects.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from 'ai'
import type { LanguageModel } from 'ai'
import { z } from 'zod'
import { PIXEL } from './harness.ts'
import { BACKENDS, judgeRequests, MODEL, setStage } from './stage.ts'
import type { Stage } from './stage.ts'

const LIMIT = { timeout: 30_000 }
const WISH = 'Please `call weather {"city":"Pécs"};` and `call weather {"city":"Győr"};` all at once'
const TWICE = WISH.replace(' all at once', '')
const SAID = 'The tools said: {"city":"Pécs","degrees":22} | {"city":"Győr","degrees":22}'
const tools = { weather: tool({ description: 'Weather of a city', inputSchema: z.object({ city: z.string() }), execute: ({ city }) => ({ city, degrees: 22 }) }) }
const schema = z.object({ city: z.string(), degrees: z.number(), tags: z.array(z.string()) })

/** The client's model is the backend's, for the SDK sends other bodies to other models; a Claude name stays one. */
const CLIENTS: Record<string, (stage: Stage) => LanguageModel> = {
  openai: ({ url, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: 'placeholder' }).responses(model),
  'openai chat': ({ url, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: 'placeholder' }).chat(model),
  anthropic: ({ url }) => createAnthropic({ baseURL: `${url}/v1`, apiKey: 'placeholder' })(MODEL.anthropic),
  'openai-compatible': ({ url, model }) => createOpenAICompatible({ name: 'dario', baseURL: `${url}/v1`, apiKey: 'placeholder', includeUsage: true, supportsStructuredOutputs: true })(model),
}

for (const [name, connect] of Object.entries(CLIENTS)) for (const backend of BACKENDS) {
  const title = `ai sdk ${name} on ${backend}`

  test(`${title}: generateText goes through two calls at once`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const { text, steps, usage } = await generateText({ model: connect(stage), instructions: 'Be brief.', prompt: WISH, tools, stopWhen: stepCountIs(5), maxRetries: 0 })
    strictEqual(text, SAID)
    deepStrictEqual(steps[0]?.toolCalls.map(({ input }) => input), [{ city: 'Pécs' }, { city: 'Győr' }])
    deepStrictEqual([usage.inputTokens, usage.outputTokens], [200, 60]) // of both steps
    judgeRequests(stage, 2)
  })

  test(`${title}: streamText goes through one call after another`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const result = streamText({ model: connect(stage), prompt: TWICE, tools, stopWhen: stepCountIs(5), maxRetries: 0, onError: () => {} })
    let streamed = ''
    for await (const delta of result.textStream) streamed += delta
    ok(streamed.endsWith(SAID), streamed)
    const steps = await result.steps
    deepStrictEqual(steps.map(({ finishReason }) => finishReason), ['tool-calls', 'tool-calls', 'stop'])
    deepStrictEqual([steps[2]?.usage.inputTokens, steps[2]?.usage.inputTokenDetails.cacheReadTokens, steps[2]?.usage.outputTokens], [100, 40, 30])
    judgeRequests(stage, 3)
  })

  test(`${title}: pictures and structured output`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const model = connect(stage)
    const { text } = await generateText({ model, messages: [{ role: 'user', content: [{ type: 'text', text: 'What?' }, { type: 'file', data: PIXEL, mediaType: 'image/png' }] }], maxRetries: 0 })
    match(text, /I see 1 image\(s\)/)
    const { output } = await generateText({ model, prompt: 'Hello', output: Output.object({ schema }), maxRetries: 0 })
    strictEqual(output.city, 'x')
    judgeRequests(stage, 2)
  })

  test(`${title}: a refusal is an APICallError that knows whether to try again`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    for (const [status, retryable] of [[400, false], [401, false], [429, true], [500, true]] as const) {
      stage.standIn.fail({ status, type: 'invalid_request_error', message: 'said the upstream' })
      await rejects(generateText({ model: connect(stage), prompt: 'Hello', maxRetries: 0 }), (error) => {
        ok(APICallError.isInstance(error), String(error))
        deepStrictEqual([error.statusCode, error.isRetryable, error.message], [status, retryable, 'said the upstream'])
        return true
      })
    }
  })

  test(`${title}: an abort ends the upstream request`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    stage.standIn.pace(50)
    const abort = new AbortController()
    const left = stage.standIn.left()
    const result = streamText({ model: connect(stage), prompt: 'Hello', abortSignal: abort.signal, maxRetries: 0, onError: () => {} })
    for await (const part of result.fullStream) if (part.type === 'text-delta') abort.abort()
    await left
  })
}

for (const backend of ['anthropic', 'responses'] as const) {
  test(`ai sdk anthropic on ${backend}: thinking comes and goes back`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const { steps, text } = await generateText({
      model: CLIENTS['anthropic']!(stage), prompt: TWICE, tools, stopWhen: stepCountIs(5), maxRetries: 0,
      providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 2000 } } },
    })
    strictEqual(text, SAID)
    for (const step of steps) match(step.reasoningText ?? '', /^The user wants/)
    judgeRequests(stage, 3)
    match(JSON.stringify(stage.standIn.recorded[2]?.body), backend === 'anthropic' ? /"type":"thinking".*"signature"/ : /"type":"reasoning".*gAAAA-stand-in/)
  })

  test(`ai sdk openai on ${backend}: reasoning comes and goes back`, LIMIT, async (t) => {
    const stage = await setStage(t, backend)
    const { steps, text } = await generateText({
      model: createOpenAI({ baseURL: `${stage.url}/v1`, apiKey: 'placeholder' }).responses('gpt-5.1'), prompt: TWICE, tools, stopWhen: stepCountIs(5), maxRetries: 0,
      providerOptions: { openai: { reasoningEffort: 'medium', reasoningSummary: 'auto', store: false } },
    })
    strictEqual(text, SAID)
    for (const step of steps) match(step.reasoningText ?? '', /^The user wants/)
    judgeRequests(stage, 3)
    match(JSON.stringify(stage.standIn.recorded[2]?.body), backend === 'anthropic' ? /"type":"thinking".*"signature"/ : /"type":"reasoning".*gAAAA-stand-in/)
  })
}
