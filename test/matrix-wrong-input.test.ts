/**
 * Wrong requests, over every pair of dialects: a 400 in the client's own shape that names the place, or a request that
 * the backend can read; never a 500, never a hang.
 * @module
 */
import { equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import { withDeadline } from './helpers/deadline.ts'
import { NAMES } from './helpers/dialects.ts'
import { toSse } from './helpers/fixtures.ts'
import { createRandom } from './helpers/property.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { spoilRequest } from './helpers/spoil.ts'
import { sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestUpstream } from './helpers/upstream.ts'

const PATHS: Record<DialectName, string> = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' }
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))

const ANSWERS: Record<string, JsonObject[]> = {
  '/messages': [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], usage: {} } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'ok' } },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: {} }, { type: 'message_stop' },
  ],
  '/chat/completions': [{ id: 'c', choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop' }] }],
  '/responses': [{ type: 'response.completed', response: { id: 'r', status: 'completed', output: [{ type: 'message', content: [{ type: 'output_text', text: 'ok' }] }] } }],
}

interface House {
  upstream: TestUpstream
  ask(client: DialectName, target: DialectName, body: JsonObject): Promise<{ status: number; text: string }>
}

async function build(context: TestContext): Promise<House> {
  const upstream = await startUpstream(context, ({ url }, response) => {
    const [path, events] = Object.entries(ANSWERS).find(([path]) => url.endsWith(path))!
    return sendSse(response, [toSse(path === '/chat/completions' ? 'chat' : 'anthropic', events)])
  })
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  return {
    upstream,
    async ask(client, target, body) {
      const response = await withDeadline(fetch(url + PATHS[client], {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...body, model: `${target}:m` }),
      }), 5000, 'an answer')
      return { status: response.status, text: await withDeadline(response.text(), 5000, 'a body') }
    },
  }
}

/** The envelope in which the client's SDK looks for an error. */
function checkRefusal(client: DialectName, text: string, label: string): string {
  const body = JSON.parse(text) as { type?: string; error: { type: string; message: string; param?: string | null } }
  equal(typeof body.error.message, 'string', label)
  equal(body.error.type, 'invalid_request_error', label)
  if (client === 'anthropic') equal(body.type, 'error', label)
  else ok('param' in body.error && 'code' in body.error, label)
  return body.error.message
}

const ask = { role: 'user', content: 'hi' }
/** What a translation must refuse, and the path that it must name. */
const REFUSED: Record<DialectName, [name: string, body: JsonObject, path: string][]> = {
  anthropic: [
    ['messages that are no list', { max_tokens: 9, messages: 'hi' }, 'messages'],
    ['no messages', { max_tokens: 9 }, 'messages'],
    ['a message that is no object', { max_tokens: 9, messages: [7] }, 'messages[0]'],
    ['an unknown role', { max_tokens: 9, messages: [{ role: 'robot', content: 'hi' }] }, 'messages[0].role'],
    ['content that is a number', { max_tokens: 9, messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
    ['text that is a number', { max_tokens: 9, messages: [{ role: 'user', content: [{ type: 'text', text: 7 }] }] }, 'messages[0].content[0].text'],
    ['an image without a source', { max_tokens: 9, messages: [{ role: 'user', content: [{ type: 'image' }] }] }, 'messages[0].content[0].source'],
    ['an image without data', { max_tokens: 9, messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png' } }] }] }, 'messages[0].content[0].source.data'],
    ['a tool without a name', { max_tokens: 9, messages: [ask], tools: [{ input_schema: {} }] }, 'tools[0].name'],
    ['a call without an id', { max_tokens: 9, messages: [{ role: 'assistant', content: [{ type: 'tool_use', name: 'f', input: {} }] }] }, 'messages[0].content[0].id'],
    ['a server-held thread', { max_tokens: 9, messages: [ask], thread: { type: 'create' } }, 'thread'],
  ],
  chat: [
    ['messages that are no list', { messages: 'hi' }, 'messages'],
    ['no messages', {}, 'messages'],
    ['a message that is no object', { messages: [7] }, 'messages[0]'],
    ['an unknown role', { messages: [{ role: 'robot', content: 'hi' }] }, 'messages[0].role'],
    ['several choices', { messages: [ask], n: 2 }, 'n'],
    ['an image without data', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, 'messages[0].content[0].image_url'],
    ['sound without data', { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] }, 'messages[0].content[0].input_audio'],
    ['text that is a number', { messages: [{ role: 'user', content: [{ type: 'text', text: 7 }] }] }, 'messages[0].content[0].text'],
    ['content that is a number', { messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
    ['sampling that is no number', { messages: [ask], temperature: 'hot' }, 'temperature'],
    ['a token limit that is no number', { messages: [ask], max_completion_tokens: '9' }, 'max_completion_tokens'],
    ['tools that are no list', { messages: [ask], tools: {} }, 'tools'],
    ['a tool without a name', { messages: [ask], tools: [{ type: 'function', function: {} }] }, 'tools[0]'],
  ],
  responses: [
    ['input that is a number', { input: 7 }, 'input'],
    ['no input', {}, 'input'],
    ['an item that is no object', { input: [7] }, 'input[0]'],
    ['an unknown role', { input: [{ role: 'robot', content: 'hi' }] }, 'input[0].role'],
    ['a call without a name', { input: [{ type: 'function_call', call_id: 'c', arguments: '{}' }] }, 'input[0].name'],
    ['a call without an id', { input: [{ type: 'function_call', name: 'f', arguments: '{}' }] }, 'input[0].call_id'],
    ['an image without data', { input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].image_url'],
    ['text that is a number', { input: [{ role: 'user', content: [{ type: 'input_text', text: 7 }] }] }, 'input[0].content[0].text'],
    ['content that is a number', { input: [{ role: 'user', content: 7 }] }, 'input[0].content'],
    ['background mode', { input: 'hi', background: true }, 'background'],
    ['a conversation held elsewhere', { input: 'hi', conversation: 'conv_1' }, 'conversation'],
    ['an unknown earlier response', { input: 'hi', previous_response_id: 'resp_unknown' }, 'previous_response_id'],
    ['a tool without a name', { input: 'hi', tools: [{ type: 'function' }] }, 'tools[0].name'],
    ['tools that are no list', { input: 'hi', tools: 'none' }, 'tools'],
    ['a format without a schema', { input: 'hi', text: { format: { type: 'json_schema', name: 'x' } } }, 'text.format.schema'],
  ],
}

for (const client of NAMES) {
  for (const target of NAMES.filter((name) => name !== client)) {
    test(`wrong input: a ${client} client of a ${target} backend is told the JSON path`, async (context) => {
      const { ask, upstream } = await build(context)
      const wrong: string[] = []
      for (const [name, body, path] of REFUSED[client]) {
        const { status, text } = await ask(client, target, body)
        if (status !== 400) wrong.push(`${name}: ${status} ${text.slice(0, 120)}`)
        else if (!checkRefusal(client, text, name).includes(path)) wrong.push(`${name}: does not say ${path}: ${text}`)
      }
      equal(wrong.join('\n'), '')
      equal(upstream.received.length, 0, 'nothing of it went out')
    })
  }
}

for (const client of NAMES) {
  for (const target of NAMES) {
    test(`wrong input: no spoilt ${client} request makes a ${target} backend's answer a fault of ours`, async (context) => {
      const { ask, upstream } = await build(context)
      for (let run = 0; run < 250; run++) {
        const random = createRandom(SEED + run)
        const body = spoilRequest(client, random)
        const label = `SEED=${SEED + run} ${JSON.stringify(body).slice(0, 2000)}`
        const sent = upstream.received.length
        const { status, text } = await ask(client, target, body)
        ok(status === 200 || status === 400, `${status} ${text.slice(0, 300)} ${label}`)
        if (status === 400) checkRefusal(client, text, label)
        else equal(upstream.received.length, sent + 1, `one request went out ${label}`)
        if (status === 400 && client !== target) ok(/^(?:[a-z_]+(?:\[\d+\]|\.\w+)*:|[a-z_ ]+ )/i.test((JSON.parse(text) as { error: { message: string } }).error.message), `says where: ${text} ${label}`)
      }
    })
  }
}
