/**
 * Anthropic's answers into hub events: streams, and whole messages as the same events.
 * Lenient: blocks that come filled, odd orders and missing ends occur in recordings of real servers.
 * @see https://docs.claude.com/en/docs/build-with-claude/streaming
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { HubEvent, JsonObject, Seal, StopReason, Usage } from '../../hub/types.ts'
import type { DecodeContext, StreamDecoder } from '../dialect.ts'
import { toToolUse } from '../encoding.ts'
import { defined, isObject, optionalArr, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'
import { decodeError } from './error.ts'
import { readWireUsage } from './relay.ts'
import { readInput, readSeal, readThinking, toStop } from './wire.ts'

const STOPS = {
  end_turn: true, max_tokens: true, stop_sequence: true, tool_use: true, pause_turn: true, refusal: true,
  model_context_window_exceeded: true,
} satisfies Record<StopReason, true>

/** A block that is being received. */
type Open =
  | { kind: 'text' | 'thinking' }
  /** `filled`: input that stood in the block's start; deltas, if any come, replace it (pitfall O13). */
  | { kind: 'tool'; filled: string; streamed: boolean; held: string[] | undefined }
  /** Held until it is whole, since only its own dialect can read it. */
  | { kind: 'opaque'; value: JsonObject; json: string[] }
  | { kind: 'ignored' }

export function createStreamDecoder(context: DecodeContext): StreamDecoder {
  const open = new Map<number, Open>()
  const toolIds = new Set<string>()
  const numbers = new Map<number, number>() // of our events, by the upstream's
  let next = 0
  let messageId: string | undefined
  let usage: Partial<Usage> = {}
  let rawStop: string | undefined, stopSequence: string | undefined
  let hasTool = false, done = false

  function start(message: JsonObject): HubEvent[] {
    const id = optionalStr(message['id']) || context.newId('msg_')
    if (messageId !== undefined) {
      if (id === messageId) return [] // repeated by a relay on the way
      return fail('the upstream began a second answer inside the first one; send the request again') // pitfalls S9, O16
    }
    messageId = id
    usage = readWireUsage(optionalObj(message['usage']) ?? {})
    readStop(message)
    const events: HubEvent[] = [{ type: 'start', id, model: optionalStr(message['model']) ?? '', usage: { ...usage } }]
    for (const [index, block] of (optionalArr(message['content']) ?? []).entries()) {
      if (isObject(block)) events.push(...startBlock(index, block), ...stopBlock(index)) // pitfall O12
    }
    return events
  }

  /** Some compatible servers give every block the index 0; ours are never used twice. */
  function number(events: HubEvent[]): HubEvent[] {
    return events.map((event) => {
      if (!('index' in event)) return event
      if (event.type === 'block_start') numbers.set(event.index, next++)
      const index = numbers.get(event.index) ?? 0
      return index === event.index ? event : { ...event, index }
    })
  }

  function readStop(from: JsonObject): void {
    rawStop = optionalStr(from['stop_reason']) ?? rawStop
    stopSequence = optionalStr(from['stop_sequence']) ?? stopSequence
  }

  function startBlock(index: number, value: JsonObject): HubEvent[] {
    const events = stopBlock(index) // one that was never closed
    switch (value['type']) {
      case 'text':
        open.set(index, { kind: 'text' })
        events.push({ type: 'block_start', index, block: { type: 'text', text: '' } })
        return [...events, ...toDelta(index, optionalStr(value['text']))]
      case 'thinking':
      case 'redacted_thinking': {
        const { text, seal, ...block } = readThinking(value)
        open.set(index, { kind: 'thinking' })
        const whole = block.redacted === true && seal !== undefined
        const opening = defined({ ...block, text: '', seal: whole ? seal : undefined })
        events.push({ type: 'block_start', index, block: opening }, ...toDelta(index, text))
        return whole ? events : [...events, ...toSeal(index, seal)]
      }
      case 'tool_use': return [...events, ...startTool(index, value)]
      default:
        open.set(index, { kind: 'opaque', value, json: [] })
        return events
    }
  }

  function startTool(index: number, value: JsonObject): HubEvent[] {
    const id = optionalStr(value['id']) || context.newId('toolu_')
    const wireName = optionalStr(value['name']) ?? ''
    if (toolIds.has(id) || wireName === '') {
      open.set(index, { kind: 'ignored' }) // a call that came twice would run twice (pitfalls S10, B14)
      return []
    }
    toolIds.add(id)
    hasTool = true
    const block = toToolUse(context, id, wireName)
    const input = value['input']
    const filled = isObject(input) && Object.keys(input).length === 0 ? '' : readInput(input ?? '')
    open.set(index, { kind: 'tool', filled, streamed: false, held: block.kind === 'custom' ? [] : undefined })
    return [{ type: 'block_start', index, block }]
  }

  function readDelta(index: number, delta: JsonObject): HubEvent[] {
    const block = open.get(index)
    switch (delta['type']) {
      case 'text_delta': return fill(index, 'text', optionalStr(delta['text']))
      case 'thinking_delta': return fill(index, 'thinking', optionalStr(delta['thinking']))
      case 'signature_delta': return block?.kind === 'thinking' ? toSeal(index, readSeal(delta['signature'])) : []
      case 'input_json_delta': {
        const json = optionalStr(delta['partial_json']) ?? ''
        if (block?.kind === 'opaque') block.json.push(json)
        if (block?.kind !== 'tool' || json === '') return []
        block.streamed = true
        if (block.held === undefined) return toDelta(index, json)
        block.held.push(json)
        return []
      }
      default: // lossy: citations
        return []
    }
  }

  /** Some compatible servers send deltas for a block that they never opened, or that is of the other kind (S8). */
  function fill(index: number, kind: 'text' | 'thinking', text: string | undefined): HubEvent[] {
    const found = open.get(index)?.kind ?? 'text'
    if (open.has(index) && (found === kind || text === '')) return toDelta(index, text)
    return found === 'text' || found === 'thinking' ? startBlock(index, { type: kind, [kind]: text }) : []
  }

  function stopBlock(index: number): HubEvent[] {
    const block = open.get(index)
    if (block === undefined || !open.delete(index) || block.kind === 'ignored') return []
    const end: HubEvent = { type: 'block_end', index }
    if (block.kind === 'opaque') {
      const input = parseObject(block.json.join(''))
      const value = input === undefined ? block.value : { ...block.value, input }
      return [{ type: 'block_start', index, block: { type: 'opaque', origin: 'anthropic', value } }, end]
    }
    if (block.kind !== 'tool') return [end]
    if (block.held === undefined) return [...(block.streamed ? [] : toDelta(index, block.filled)), end]
    const json = block.streamed ? block.held.join('') : block.filled
    return [...toDelta(index, optionalStr(parseObject(json)?.['input']) ?? json), end]
  }

  function finish(): HubEvent[] {
    done = true
    const events = [...open.keys()].flatMap(stopBlock)
    const stop = toStop(Object.hasOwn(STOPS, rawStop ?? '') ? rawStop as StopReason : 'end_turn', hasTool)
    const whole = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0, ...usage }
    return [...events, { type: 'end', stop, rawStop, stopSequence, usage: whole }]
  }

  function fail(problem: string | DarioError): HubEvent[] {
    done = true
    const error = typeof problem === 'string' ? new DarioError('upstream_protocol', problem) : problem
    return [{ type: 'error', error }]
  }

  function read(data: JsonObject, type: string): HubEvent[] {
    const index = optionalNum(data['index']) ?? 0
    switch (type) {
      case 'message_start': return start(optionalObj(data['message']) ?? {})
      case 'content_block_start': return startBlock(index, optionalObj(data['content_block']) ?? { type: 'text' })
      case 'content_block_delta': return readDelta(index, optionalObj(data['delta']) ?? {})
      case 'content_block_stop': return stopBlock(index)
      case 'message_delta':
        readStop(optionalObj(data['delta']) ?? {})
        usage = { ...usage, ...readWireUsage(optionalObj(data['usage']) ?? {}) }
        return []
      case 'message_stop': return finish()
      case 'ping': return [{ type: 'ping' }]
      case 'error': return fail(decodeError(200, JSON.stringify(data)))
      default: return []
    }
  }

  return {
    push(event) {
      const data = done ? undefined : parseObject(event.data)
      if (data === undefined && event.event === 'error' && !done) return fail(decodeError(200, event.data))
      if (data === undefined) return [] // one bad line does not spoil the rest (pitfall S24)
      const type = optionalStr(data['type']) ?? event.event ?? ''
      const isLate = messageId === undefined && (type.startsWith('content_block') || type.startsWith('message_'))
      return number(isLate && type !== 'message_start' ? [...start({}), ...read(data, type)] : read(data, type))
    },
    end() {
      if (done) return []
      if (rawStop !== undefined && messageId !== undefined) return number(finish()) // only the last frame was lost (S16)
      return fail('the upstream closed the stream before the answer was complete; send the request again')
    },
  }
}

/** A whole message as the events of a stream that says everything at its start. */
export function decodeReply(body: JsonObject, context: DecodeContext): HubEvent[] {
  // Some servers answer a failure with 200 and words of their own: it must not pass for an answer without content.
  if (!Array.isArray(body['content'])) return [{ type: 'error', error: decodeError(200, JSON.stringify(body)) }]
  const decoder = createStreamDecoder(context)
  const play = (data: JsonObject): HubEvent[] => decoder.push({ event: undefined, data: JSON.stringify(data) })
  return [...play({ type: 'message_start', message: body }), ...play({ type: 'message_stop' })]
}

function toDelta(index: number, text: string | undefined): HubEvent[] {
  return text === undefined || text === '' ? [] : [{ type: 'delta', index, text }]
}

function toSeal(index: number, seal: Seal | undefined): HubEvent[] {
  return seal === undefined ? [] : [{ type: 'seal', index, seal }]
}
