/**
 * Random conversations and answers, encoded to each dialect and decoded again, are what they were, up to the marked
 * losses, which are written out here once more.
 * @module
 */
import { deepEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { Target, ToolIdentity } from '../src/dialects/dialect.ts'
import { foldEvents } from './helpers/fold.ts'
import { repairToolTurns } from '../src/hub/repair.ts'
import type { Block, DialectName, HubEvent, HubReply, HubRequest, JsonObject, Tool, Turn } from '../src/hub/types.ts'
import { createSseDecoder } from '../src/sse.ts'
import { DIALECTS, NAMES } from './helpers/dialects.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { forAll } from './helpers/property.ts'
import type { Random } from './helpers/property.ts'

/** A model of each dialect with as few refusals as there are. */
const TARGETS: Record<DialectName, Target> = {
  anthropic: { model: 'claude-3-7-sonnet-20250219', host: 'api.anthropic.com', repairs: new Set() },
  chat: { model: 'local', host: 'localhost', repairs: new Set() },
  responses: { model: 'local', host: 'localhost', repairs: new Set() },
}

const WORDS = ['alpha', 'bravo\n', ' charlie', 'déjà vu', '你好', '😀', '"quoted"', 'a\\b', '</think>', 'data: x\n\n', '{"a":1}', '\u2028', '<system>']
const pick = <Value>(random: Random, list: readonly Value[]): Value => list[random(list.length)]!
const times = <Value>(random: Random, most: number, make: (index: number) => Value): Value[] => Array.from({ length: random(most + 1) }, (_, index) => make(index))
const text = (random: Random): string => `t${times(random, 3, () => pick(random, WORDS)).join('')}.`
const base64 = (random: Random): string => Buffer.from(text(random)).toString('base64')

function media(random: Random): Block {
  const image = random(2) === 0
  if (random(3) === 0) return { type: 'media', kind: 'image', source: { type: 'url', url: 'https://x.test/a.png' } }
  return image
    ? { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: base64(random) } }
    : { type: 'media', kind: 'document', name: 'a.pdf', source: { type: 'base64', mediaType: 'application/pdf', data: base64(random) } }
}

const input = (random: Random): string => JSON.stringify({ q: text(random), n: random(1000), deep: [{ x: null }, true] })

/** User and assistant by turns, every call answered in the next turn, as every vendor wants it. */
function conversation(random: Random): Turn[] {
  const turns: Turn[] = random(2) === 0 ? [] : [{ role: 'system', blocks: [{ type: 'text', text: text(random) }] }]
  let calls: Block[] = [], ids = 0
  for (let round = 0; round <= random(4); round++) {
    const results = calls.map((call): Block => ({
      type: 'tool_result', toolUseId: (call as { id: string }).id, isError: random(3) === 0, content: [{ type: 'text', text: text(random) }],
    }))
    const rest: Block[] = results.length > 0 && random(2) === 0 ? [] : [{ type: 'text', text: text(random) }, ...times(random, 1, () => media(random))]
    turns.push({ role: 'user', blocks: [...results, ...rest] })
    calls = times(random, 3, () => ({ type: 'tool_use', id: `toolu_${ids++}`, name: pick(random, ['read', 'write']), input: input(random) }))
    turns.push({ role: 'assistant', blocks: [...(calls.length === 0 || random(2) === 0 ? [{ type: 'text', text: text(random) } as const] : []), ...calls] })
  }
  const last = calls.map((call): Block => ({ type: 'tool_result', toolUseId: (call as { id: string }).id, isError: false, content: [{ type: 'text', text: 'x' }] }))
  return [...turns, { role: 'user', blocks: last.length > 0 ? last : [{ type: 'text', text: text(random) }] }]
}

const schema: JsonObject = { type: 'object', properties: { q: { type: 'string' } }, required: ['q'] }

function request(random: Random): HubRequest {
  const tools: Tool[] = ['read', 'write'].map((name) => ({ type: 'function', name, description: text(random), inputSchema: schema }))
  const choice = pick(random, [undefined, { type: 'auto' }, { type: 'none' }, { type: 'required' }, { type: 'tool', name: 'read' }] as const)
  return {
    model: 'm', turns: conversation(random), tools, stop: [], stream: true, streamUsage: true, extra: {},
    ...(choice === undefined ? {} : { toolChoice: choice }),
    ...(random(2) === 0 || choice?.type === 'none' ? {} : { parallelTools: random(2) === 0 }),
    maxTokens: 1000 + random(1000),
    ...(random(2) === 0 ? {} : { temperature: random(10) / 10, topP: random(10) / 10 }),
  }
}

/** What a conversation means, whatever its cutting into turns and parts. */
function meaning({ turns, tools, toolChoice, parallelTools, maxTokens, temperature, topP }: HubRequest): unknown {
  const said: unknown[] = []
  for (const turn of repairToolTurns(turns).turns) {
    const last = said.at(-1) as { role?: string; text?: string } | undefined
    for (const block of turn.blocks) {
      if (block.type === 'text' && last !== undefined && said.at(-1) === last && last.role === turn.role && last.text !== undefined) {
        last.text += `|${block.text}`
      } else if (block.type === 'text') said.push({ role: turn.role, text: block.text })
      else said.push({ role: turn.role, block: plain(block) })
    }
  }
  return {
    said, maxTokens, temperature, topP,
    tools: tools.map((tool) => 'inputSchema' in tool ? { name: tool.name, description: tool.description, schema: tool.inputSchema } : tool.type),
    // an absent choice is `auto`, and what is said of parallel calls means nothing without calls
    choice: toolChoice ?? { type: 'auto' }, parallel: toolChoice?.type === 'none' ? undefined : parallelTools !== false,
  }
}

function plain(block: Block): unknown {
  switch (block.type) {
    case 'tool_use': return { call: block.id, name: block.name, input: JSON.parse(block.input) as unknown }
    case 'tool_result': return { result: block.toolUseId, isError: block.isError, text: block.content.map((part) => part.type === 'text' ? part.text : plain(part)) }
    case 'media': return { kind: block.kind, source: block.source, name: block.name }
    default: return block
  }
}

for (const name of NAMES) {
  test(`round trip: a conversation written in the ${name} dialect and read again is the same`, () => forAll(request, (made) => {
    const { body } = DIALECTS[name].encodeRequest(made, TARGETS[name])
    const wire = JSON.parse(JSON.stringify(body)) as JsonObject
    deepEqual(meaning(DIALECTS[name].decodeRequest(wire).request), meaning(made))
  }))
  test(`C6: the ${name} dialect writes one request the same way each time`, () => forAll(request, (made) => {
    const write = (): string => JSON.stringify(DIALECTS[name].encodeRequest(structuredClone(made), TARGETS[name]).body)
    deepEqual(write(), write())
  }, 20))
}

/** A stream of hub events: blocks that may overlap, in pieces, with pings between. */
function events(random: Random): HubEvent[] {
  const blocks: Block[] = [
    ...(random(2) === 0 ? [] : [{ type: 'thinking', text: '' } as const]),
    ...(random(3) === 0 ? [] : [{ type: 'text', text: '' } as const]),
    ...times(random, 3, (index): Block => ({ type: 'tool_use', id: `toolu_${index}`, name: pick(random, ['read', 'write']), input: '' })),
  ]
  if (blocks.length === 0) blocks.push({ type: 'text', text: '' })
  const queues = blocks.map((block, index): HubEvent[] => {
    const whole = block.type === 'tool_use' ? input(random) : text(random)
    const cut = random(whole.length)
    return [
      { type: 'block_start', index, block }, { type: 'delta', index, text: whole.slice(0, cut) }, { type: 'delta', index, text: whole.slice(cut) },
      ...(block.type === 'thinking' && random(2) === 0 ? [{ type: 'seal', index, seal: { origin: pick(random, NAMES), value: 'c2VhbA==' } } as const] : []),
      { type: 'block_end', index },
    ]
  })
  const body: HubEvent[] = []
  const overlap = random(2) === 0
  // text and thinking come one after another in every dialect; calls may overlap
  while (queues.some((queue) => queue.length > 0)) {
    const open = queues.filter((queue) => queue.length > 0)
    const firstCall = blocks.findIndex((block) => block.type === 'tool_use')
    const proseLeft = queues.some((queue, index) => queue.length > 0 && (firstCall === -1 || index < firstCall))
    const queue = overlap && !proseLeft ? pick(random, open) : open[0]!
    body.push(queue.shift()!)
    if (random(8) === 0) body.push({ type: 'ping' })
  }
  const hasCall = blocks.some((block) => block.type === 'tool_use')
  return [
    { type: 'start', id: 'msg_1', model: 'm' }, ...body,
    { type: 'end', stop: pick(random, ['max_tokens', hasCall ? 'tool_use' : 'end_turn'] as const), usage: { input: random(99), cacheRead: random(99), cacheWrite: 0, output: 50, reasoning: random(50) } },
  ]
}

/** What an answer says: blocks in order, but a thought without its order among calls. */
function saying(reply: HubReply): unknown {
  return {
    blocks: reply.blocks.map((block) => block.type === 'tool_use' ? { ...(plain(block) as object) } : block.type === 'thinking' ? { text: block.text, seal: block.seal?.value, origin: block.seal?.origin } : block),
    stop: reply.stop, usage: reply.usage,
  }
}

const context = (): { newId: (prefix: string) => string; toolNames: Map<string, ToolIdentity> } => {
  let count = 0
  return { newId: (prefix) => `${prefix}${++count}`, toolNames: new Map() }
}
const REPLY = { request: { model: 'm', turns: [], tools: [], stop: [], stream: true, streamUsage: true, extra: {} } as HubRequest, model: 'm', created: 0 }

for (const name of NAMES) {
  test(`round trip: an answer streamed in the ${name} dialect and read again is the same`, () => forAll(events, (made) => {
    assertGrammar(made)
    const encode = DIALECTS[name].createStreamEncoder({ ...REPLY, ...context() })
    const sse = createSseDecoder(), decoder = DIALECTS[name].createStreamDecoder(context())
    const read = [...made.flatMap((event) => sse.push(encode(event))), ...sse.end()].flatMap((event) => decoder.push(event))
    const all = [...read, ...decoder.end()]
    assertGrammar(all)
    deepEqual(saying(foldEvents(all)), saying(foldEvents(made)))
  }))
  test(`round trip: a whole answer in the ${name} dialect and read again is the same`, () => forAll(events, (made) => {
    const body = DIALECTS[name].encodeReply(foldEvents(made), { ...REPLY, ...context() })
    const read = DIALECTS[name].decodeReply(JSON.parse(JSON.stringify(body)) as JsonObject, context())
    assertGrammar(read)
    deepEqual(saying(foldEvents(read)), saying(foldEvents(made)))
  }))
}
