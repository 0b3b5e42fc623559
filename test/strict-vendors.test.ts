/**
 * What the vendors' real servers refuse (pitfall Q11): no request that we write may hold it, whatever the client sent.
 * @module
 */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { DarioError } from '../src/errors.ts'
import { repairToolTurns } from '../src/hub/repair.ts'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import { DIALECTS, NAMES } from './helpers/dialects.ts'
import { createRandom } from './helpers/property.ts'
import { RICH, spoilRequest } from './helpers/spoil.ts'

type Wire = { [key: string]: any }

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const NAME = /^[a-zA-Z0-9_-]{1,64}$/

function checkSchema(schema: Wire): void {
  equal(schema['type'], 'object', 'a tool takes an object')
  equal(typeof schema['properties'], 'object', 'an object schema has properties')
  for (const word of ['anyOf', 'oneOf', 'allOf']) equal(word in schema, false, `no ${word} at the root`)
}

function checkAnthropic(body: Wire, model: string): void {
  const version = Number(/(\d)-(\d)/.exec(model)?.slice(1).join('.') ?? 5)
  const thinks = body['thinking'] !== undefined && body['thinking'].type !== 'disabled'
  ok(Number.isInteger(body['max_tokens']) && body['max_tokens'] > 0, 'max_tokens is a whole number')
  if (body['temperature'] !== undefined) {
    ok(body['temperature'] >= 0 && body['temperature'] <= 1, 'temperature up to 1')
    if (thinks) equal(body['temperature'], 1, 'thinking takes temperature 1')
    if (version >= 4.1) equal(body['top_p'], undefined, 'one of temperature and top_p')
    ok(version < 4.7, 'no temperature')
  }
  if (body['thinking']?.type === 'enabled') {
    ok(body['thinking'].budget_tokens >= 1024 && body['thinking'].budget_tokens < body['max_tokens'], 'a budget below max_tokens')
  }
  if (thinks) ok(!['any', 'tool'].includes(body['tool_choice']?.type), 'no forced tool with thinking')
  if (body['tool_choice'] !== undefined) ok(body['tools']?.length > 0, 'a choice needs tools')
  for (const tool of body['tools'] ?? []) {
    ok(/^[a-zA-Z0-9_-]{1,128}$/.test(tool.name), `tool name ${tool.name}`)
    checkSchema(tool.input_schema)
  }
  const all = [...(body['tools'] ?? []), ...(body['system'] ?? []), ...body['messages'].flatMap((message: Wire) => message['content'])] as Wire[]
  ok(JSON.stringify(body).split('"cache_control"').length - 1 <= 4, 'at most four marks')
  for (const block of all) if (block['type'] === 'text') ok(block['text'].trim() !== '', 'no empty text')
  equal(body['messages'][0]?.role, 'user')
  if (version >= 4.6) equal(body['messages'].at(-1).role, 'user', 'no prefill')
  let calls: string[] = []
  for (const message of body['messages'] as Wire[]) {
    const results = (message['content'] as Wire[]).filter((block) => block['type'] === 'tool_result')
    deepEqual(message['content'].slice(0, results.length), results, 'results come first')
    deepEqual(results.map((block) => block['tool_use_id']).sort(), calls.sort(), 'each call has one result, directly after it')
    calls = (message['content'] as Wire[]).flatMap((block) => block['type'] === 'tool_use' ? [block['id']] : [])
    for (const id of calls) ok(/^[a-zA-Z0-9_-]+$/.test(id), `call id ${id}`)
    equal(new Set(calls).size, calls.length, 'ids are unique')
  }
  deepEqual(calls, [], 'no call is left open')
}

const CHAT_FIELDS = new Set([
  'model', 'messages', 'tools', 'tool_choice', 'parallel_tool_calls', 'max_completion_tokens', 'max_tokens', 'temperature', 'top_p', 'stop', 'reasoning_effort',
  'response_format', 'user', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention', 'service_tier', 'stream', 'stream_options', 'verbosity', 'store', 'metadata', 'seed',
])

function checkChat(body: Wire, model: string): void {
  const reasons = /^(o\d|gpt-5)/.test(model)
  for (const field of Object.keys(body)) ok(CHAT_FIELDS.has(field), `unknown field ${field}`)
  equal(body['max_tokens'], undefined, 'max_completion_tokens instead')
  if (reasons) for (const field of ['temperature', 'top_p', 'stop']) equal(body[field], undefined, field)
  else equal(body['reasoning_effort'], undefined)
  if (body['tools'] === undefined) for (const field of ['tool_choice', 'parallel_tool_calls']) equal(body[field], undefined, `${field} without tools`)
  else ok(body['tools'].length > 0)
  for (const tool of body['tools'] ?? []) {
    ok(NAME.test(tool.function.name), `tool name ${tool.function.name}`)
    checkSchema(tool.function.parameters)
  }
  for (const field of ['user', 'prompt_cache_key']) ok((body[field]?.length ?? 0) <= 64, field)
  if (body['metadata'] !== undefined) equal(body['store'], true, 'metadata needs store')
  if (body['stop'] !== undefined) ok(Array.isArray(body['stop']) && body['stop'].length <= 4)
  let open: string[] = []
  for (const message of body['messages'] as Wire[]) {
    if (message['role'] === 'tool') {
      ok(open.includes(message['tool_call_id']), 'a result of a call before it')
      open = open.filter((id) => id !== message['tool_call_id'])
      continue
    }
    deepEqual(open, [], 'each call has its result before anything else')
    open = (message['tool_calls'] ?? []).map((call: Wire) => call['id'])
    for (const call of message['tool_calls'] ?? []) {
      ok(NAME.test(call.function.name) && call.id.length <= 40 && call.id !== '')
      equal(typeof call.function.arguments, 'string')
    }
    ok(message['content'] !== null || open.length > 0, 'a message says something')
    equal(message['reasoning_content'], undefined, 'OpenAI refuses it (Q10)')
  }
  deepEqual(open, [])
}

function checkResponses(body: Wire, model: string): void {
  if (/^(o\d|gpt-5)/.test(model)) for (const field of ['temperature', 'top_p']) equal(body[field], undefined, field)
  else equal(body['reasoning'], undefined)
  equal(body['stop'], undefined)
  if (body['max_output_tokens'] !== undefined) ok(body['max_output_tokens'] >= 16)
  if (body['tools'] === undefined) for (const field of ['tool_choice', 'parallel_tool_calls']) equal(body[field], undefined, `${field} without tools`)
  for (const tool of body['tools'] ?? []) {
    if (tool.type !== 'function') continue
    ok(NAME.test(tool.name), `tool name ${tool.name}`)
    checkSchema(tool.parameters)
  }
  for (const field of ['user', 'safety_identifier', 'prompt_cache_key']) ok((body[field]?.length ?? 0) <= 64, field)
  const kinds = new Map<string, string>()
  for (const item of body['input'] as Wire[]) {
    if (item['type'] === 'function_call' || item['type'] === 'custom_tool_call') {
      ok(item['call_id'].length <= 64 && NAME.test(item['name']), `call ${item['call_id']} ${item['name']}`)
      kinds.set(item['call_id'], item['type'])
    }
    if (item['type'] === 'function_call_output' || item['type'] === 'custom_tool_call_output') {
      equal(item['type'], `${kinds.get(item['call_id'])}_output`, 'an output of a call before it, of its kind')
      kinds.delete(item['call_id'])
    }
  }
  deepEqual([...kinds], [], 'each call has an output')
}

const VENDORS: Record<DialectName, { host: string; models: string[]; check: (body: Wire, model: string) => void }> = {
  anthropic: { host: 'api.anthropic.com', models: ['claude-3-5-sonnet-20241022', 'claude-sonnet-4-5', 'claude-opus-4-6', 'claude-opus-4-7', 'claude-sonnet-5'], check: checkAnthropic },
  chat: { host: 'api.openai.com', models: ['gpt-4o', 'gpt-5.1', 'o3'], check: checkChat },
  responses: { host: 'api.openai.com', models: ['gpt-4o', 'gpt-5.1', 'o3'], check: checkResponses },
}

/** The body that goes out; undefined when the request was refused by us, with a place. */
function write(client: DialectName, target: DialectName, model: string, body: JsonObject): Wire | undefined {
  try {
    const { request } = DIALECTS[client].decodeRequest({ ...body, model })
    const turns = repairToolTurns(request.turns).turns
    return JSON.parse(JSON.stringify(DIALECTS[target].encodeRequest({ ...request, turns, stream: true }, { model, host: VENDORS[target].host, repairs: new Set() }).body)) as Wire
  } catch (error) {
    if (error instanceof DarioError && error.code !== 'internal') return undefined
    throw error
  }
}

for (const client of NAMES) {
  for (const target of NAMES.filter((name) => name !== client)) {
    for (const model of VENDORS[target].models) {
      test(`Q11: what a ${client} client sends to ${model} as ${target} is nothing that its vendor refuses`, () => {
        VENDORS[target].check(write(client, target, model, RICH[client])!, model)
        for (let run = 0; run < 300; run++) {
          const body = spoilRequest(client, createRandom(SEED + run))
          const sent = write(client, target, model, body)
          if (sent === undefined) continue
          try {
            VENDORS[target].check(sent, model)
          } catch (cause) {
            throw new Error(`SEED=${SEED + run}: ${(cause as Error).message}\n${JSON.stringify(body)}\n${JSON.stringify(sent)}`, { cause })
          }
        }
      })
    }
  }
}
