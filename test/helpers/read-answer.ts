/**
 * Naive readers of answers, one per dialect, that share nothing with the code under test: they take a stream's events
 * or a whole body and say what a client would have seen.
 * @module
 */
import type { DialectName } from '../../src/hub/types.ts'

export interface Seen {
  text: string
  /** Without white space: vendors and dialects join pieces of reasoning differently. */
  reasoning: string
  /** Arguments parsed, as equal JSON is what counts; text that is no JSON stays text. */
  calls: { id: string; name: string; input: unknown }[]
  stop: 'stop' | 'length' | 'tools' | 'filter' | 'broken'
  /** `input` includes cached tokens. */
  usage: { input: number; cached: number; output: number; reasoning: number }
}

/** Recordings are read as they come. */
type Wire = { [key: string]: any }

interface Draft { text: string; reasoning: string; calls: { id: string; name: string; input: string }[]; stop: string; usage: Seen['usage'] | undefined; broken: boolean }

const draft = (): Draft => ({ text: '', reasoning: '', calls: [], stop: '', usage: undefined, broken: false })

export function readAnswer(dialect: DialectName, events: readonly Wire[]): Seen {
  return finish({ anthropic: readAnthropic, chat: readChat, responses: readResponses }[dialect](events))
}

/** Events of an SSE text, or the one body of a JSON text. */
export function toEvents(text: string): Wire[] {
  if (text.startsWith('{')) return [JSON.parse(text) as Wire]
  return text.split('\n').filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]').map((line) => JSON.parse(line.slice(6)) as Wire)
}

function finish({ text, reasoning, calls, stop, usage, broken }: Draft): Seen {
  return {
    text,
    reasoning: reasoning.replace(/\s+/g, ''),
    calls: calls.map(({ id, name, input }) => ({ id, name, input: parseInput(input) })),
    stop: broken ? 'broken' : toStop(stop, calls.length > 0),
    usage: usage ?? { input: 0, cached: 0, output: 0, reasoning: 0 },
  }
}

function parseInput(input: string): unknown {
  try {
    return JSON.parse(input === '' ? '{}' : input)
  } catch {
    return input
  }
}

function toStop(word: string, hasCalls: boolean): Seen['stop'] {
  if (['max_tokens', 'length', 'max_output_tokens', 'model_context_window_exceeded'].includes(word)) return 'length'
  if (['refusal', 'content_filter'].includes(word)) return 'filter'
  return hasCalls ? 'tools' : 'stop'
}

function readAnthropic(events: readonly Wire[]): Draft {
  const seen = draft()
  const blocks: Wire[] = []
  let usage: Wire = {}, id: unknown, ended = false
  for (const event of events) {
    if (event['type'] === 'message_start' || event['type'] === 'message') {
      const message = event['message'] ?? event
      if (id !== undefined && id !== message.id) seen.broken = true
      if (seen.broken) break
      id = message.id
      usage = { ...message.usage }
      seen.stop = message.stop_reason ?? ''
      for (const block of message.content) blocks.push({ ...block, json: '' })
      ended = event['type'] === 'message'
    }
    if (event['type'] === 'content_block_start') blocks[event['index']] = { ...event['content_block'], json: '' }
    if (event['type'] === 'content_block_delta') {
      const block = blocks[event['index']]!
      block['text'] += event['delta'].text ?? ''
      block['thinking'] += event['delta'].thinking ?? ''
      block['json'] += event['delta'].partial_json ?? ''
    }
    if (event['type'] === 'message_delta') {
      seen.stop = event['delta'].stop_reason ?? seen.stop
      usage = { ...usage, ...event['usage'] }
    }
    if (event['type'] === 'message_stop') ended = true
    if (event['type'] === 'error') seen.broken = true
  }
  seen.broken ||= !ended
  for (const block of blocks) {
    if (block?.['type'] === 'text') seen.text += block['text']
    if (block?.['type'] === 'thinking') seen.reasoning += block['thinking']
    if (block?.['type'] === 'tool_use') seen.calls.push({ id: block['id'], name: block['name'], input: block['json'] || JSON.stringify(block['input']) })
  }
  const cached = usage['cache_read_input_tokens'] ?? 0
  seen.usage = {
    input: (usage['input_tokens'] ?? 0) + cached + (usage['cache_creation_input_tokens'] ?? 0), cached,
    output: usage['output_tokens'] ?? 0, reasoning: usage['output_tokens_details']?.thinking_tokens ?? 0,
  }
  return seen
}

function readChat(events: readonly Wire[]): Draft {
  const seen = draft()
  const calls = new Map<unknown, Draft['calls'][number]>()
  let ended = false
  for (const event of events) {
    if (event['error']) seen.broken = true
    const usage = event['usage'] ?? event['x_groq']?.usage ?? event['choices']?.[0]?.usage
    if (usage) seen.usage = toChatUsage(usage)
    for (const choice of event['choices'] ?? []) {
      const delta = choice.delta ?? choice.message ?? {}
      const parts = Array.isArray(delta.content) ? delta.content : [{ type: 'text', text: delta.content ?? '' }]
      for (const part of parts) {
        if (part.type === 'text') seen.text += part.text
        if (part.type === 'thinking') seen.reasoning += part.thinking.map((piece: Wire) => piece['text']).join('')
      }
      seen.text += delta.refusal ?? ''
      seen.reasoning += delta.reasoning_content ?? delta.reasoning ?? ''
      for (const piece of delta.tool_calls ?? []) {
        const key = piece.index ?? piece.id
        const part = piece.function ?? piece.custom
        const call = calls.get(key) ?? { id: piece.id, name: part.name, input: '' }
        calls.set(key, call)
        call.input += part.arguments ?? part.input ?? ''
      }
      if (choice.finish_reason) {
        seen.stop = choice.finish_reason
        ended = true
      }
    }
  }
  seen.calls = [...calls.values()]
  seen.broken ||= !ended
  return seen
}

function toChatUsage(usage: Wire): Seen['usage'] {
  const reasoning = usage['completion_tokens_details']?.reasoning_tokens ?? usage['reasoning_tokens'] ?? 0
  const beside = usage['total_tokens'] === usage['prompt_tokens'] + usage['completion_tokens'] + reasoning
  return {
    input: usage['prompt_tokens'],
    cached: usage['prompt_tokens_details']?.cached_tokens ?? usage['prompt_cache_hit_tokens'] ?? usage['cached_tokens'] ?? 0,
    output: usage['completion_tokens'] + (beside ? reasoning : 0),
    reasoning,
  }
}

function readResponses(events: readonly Wire[]): Draft {
  const seen = draft()
  const items: Wire[] = []
  const streamed = new Map<string, string>() // a client shows the deltas: one recording's finished text differs
  let final: Wire | undefined
  for (const event of events) {
    if (event['type'] === 'response.output_text.delta') {
      const key = `${event['output_index']}:${event['content_index']}`
      streamed.set(key, (streamed.get(key) ?? '') + event['delta'])
    }
    if (event['object'] === 'response') final = event
    if (event['type'] === 'response.output_item.done') items.push({ at: event['output_index'], ...event['item'] })
    if (['response.completed', 'response.incomplete', 'response.failed'].includes(event['type'])) final = event['response']
    if (event['type'] === 'error') seen.broken = true
  }
  seen.broken ||= final === undefined || final['status'] === 'failed'
  for (const item of items.length > 0 ? items : final?.['output'] ?? []) {
    if (item.type === 'message') {
      for (const [index, part] of item.content.entries()) seen.text += streamed.get(`${item.at}:${index}`) ?? part.text ?? part.refusal ?? ''
    }
    if (item.type === 'reasoning') {
      const summary = (item.summary ?? []).map((part: Wire) => part['text']).join('')
      seen.reasoning += summary || (item.content ?? []).map((part: Wire) => part['text']).join('')
    }
    if (item.type === 'function_call') seen.calls.push({ id: item.call_id, name: item.name, input: item.arguments })
    if (item.type === 'custom_tool_call') seen.calls.push({ id: item.call_id, name: item.name, input: item.input })
  }
  seen.stop = final?.['incomplete_details']?.reason ?? ''
  const usage = final?.['usage']
  if (usage) {
    seen.usage = {
      input: usage.input_tokens, cached: usage.input_tokens_details?.cached_tokens ?? 0,
      output: usage.output_tokens, reasoning: usage.output_tokens_details?.reasoning_tokens ?? 0,
    }
  }
  return seen
}
