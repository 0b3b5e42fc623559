/**
 * Anthropic's answers into hub events: streams, and whole messages as the same events.
 * Lenient: blocks that come filled, odd orders and missing ends occur in recordings of real servers.
 * @see https://docs.claude.com/en/docs/build-with-claude/streaming
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, HubEvent, JsonObject, Seal, StopReason, Usage } from '../../hub/types.ts'
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

/** A block that is being received; `index` is our own: some compatible servers give every block the index 0. */
type Open =
  | { kind: 'text' | 'thinking'; index: number }
  /** `filled`: input that stood in the block's start, until deltas come in its place (pitfall O13). */
  | { kind: 'tool'; index: number; filled: string; held: string[] | undefined }
  /** Held until it is whole, since only its own dialect can read it. */
  | { kind: 'opaque'; value: JsonObject; json: string[] }
  | { kind: 'ignored' }

export function createStreamDecoder(context: DecodeContext): StreamDecoder {
  const events: HubEvent[] = []
  const open = new Map<number, Open>() // by the upstream's index
  const toolIds = new Set<string>()
  let next = 0
  let messageId: string | undefined
  let usage: Partial<Usage> = {}
  let rawStop: string | undefined, stopSequence: string | undefined
  let hasTool = false, done = false

  function start(message: JsonObject): void {
    const id = optionalStr(message['id']) || context.newId('msg_')
    if (messageId !== undefined) {
      if (id === messageId) return // repeated by a relay on the way
      return fail('the upstream began a second answer inside the first one; send the request again') // pitfalls S9, O16
    }
    messageId = id
    usage = readWireUsage(optionalObj(message['usage']) ?? {})
    readStop(message)
    events.push({ type: 'start', id, model: optionalStr(message['model']) ?? '', usage: { ...usage } })
    for (const [at, block] of (optionalArr(message['content']) ?? []).entries()) {
      if (!isObject(block)) continue
      startBlock(at, block) // pitfall O12
      stopBlock(at)
    }
  }

  function readStop(from: JsonObject): void {
    rawStop = optionalStr(from['stop_reason']) ?? rawStop
    stopSequence = optionalStr(from['stop_sequence']) ?? stopSequence
  }

  /** Announces a block, and gives its index. */
  function show(block: Block): number {
    events.push({ type: 'block_start', index: next, block })
    return next++
  }

  function say(index: number, text: string | undefined): void {
    if (text) events.push({ type: 'delta', index, text })
  }

  function prove(index: number, seal: Seal | undefined): void {
    if (seal !== undefined) events.push({ type: 'seal', index, seal })
  }

  function startBlock(at: number, value: JsonObject): void {
    stopBlock(at) // one that was never closed
    switch (value['type']) {
      case 'text': {
        const index = show({ type: 'text', text: '' })
        open.set(at, { kind: 'text', index })
        return say(index, optionalStr(value['text']))
      }
      case 'thinking':
      case 'redacted_thinking': {
        const { text, seal, ...block } = readThinking(value)
        const whole = block.redacted === true && seal !== undefined
        const index = show(defined({ ...block, text: '', seal: whole ? seal : undefined }))
        open.set(at, { kind: 'thinking', index })
        say(index, text)
        return whole ? undefined : prove(index, seal)
      }
      case 'tool_use': return void open.set(at, startTool(value))
      default: open.set(at, { kind: 'opaque', value, json: [] })
    }
  }

  function startTool(value: JsonObject): Open {
    const id = optionalStr(value['id']) || context.newId('toolu_')
    const wireName = optionalStr(value['name']) ?? ''
    if (toolIds.has(id) || wireName === '') return { kind: 'ignored' } // it would run twice (pitfalls S10, B14)
    toolIds.add(id)
    hasTool = true
    const block = toToolUse(context, id, wireName), input = value['input']
    const filled = isObject(input) && Object.keys(input).length === 0 ? '' : readInput(input ?? '')
    return { kind: 'tool', index: show(block), filled, held: block.kind === 'custom' ? [] : undefined }
  }

  function readDelta(at: number, delta: JsonObject): void {
    switch (delta['type']) {
      case 'text_delta': return fill(at, 'text', optionalStr(delta['text']))
      case 'thinking_delta': return fill(at, 'thinking', optionalStr(delta['thinking']))
      case 'signature_delta': {
        const block = open.get(at)
        return block?.kind === 'thinking' ? prove(block.index, readSeal(delta['signature'])) : undefined
      }
      case 'input_json_delta': return fillInput(open.get(at), optionalStr(delta['partial_json']) ?? '')
      default: // lossy: citations
    }
  }

  /** Some compatible servers send deltas for a block that they never opened, or that is of the other kind (S8). */
  function fill(at: number, kind: 'text' | 'thinking', text: string | undefined): void {
    const block = open.get(at)
    if (block !== undefined && block.kind !== 'text' && block.kind !== 'thinking') return
    if (block !== undefined && (block.kind === kind || text === '')) say(block.index, text)
    else startBlock(at, { type: kind, [kind]: text })
  }

  function fillInput(block: Open | undefined, json: string): void {
    if (block?.kind === 'opaque') block.json.push(json)
    if (block?.kind !== 'tool' || json === '') return
    block.filled = ''
    if (block.held === undefined) say(block.index, json)
    else block.held.push(json)
  }

  function stopBlock(at: number): void {
    const block = open.get(at)
    if (block === undefined || !open.delete(at) || block.kind === 'ignored') return
    if (block.kind === 'opaque') {
      const input = parseObject(block.json.join(''))
      const value = input === undefined ? block.value : { ...block.value, input }
      events.push({ type: 'block_end', index: show({ type: 'opaque', origin: 'anthropic', value }) })
      return
    }
    if (block.kind === 'tool') {
      const json = block.held?.join('') || block.filled
      say(block.index, (block.held && optionalStr(parseObject(json)?.['input'])) ?? json)
    }
    events.push({ type: 'block_end', index: block.index })
  }

  function finish(): void {
    done = true
    for (const at of open.keys()) stopBlock(at)
    const stop = toStop(Object.hasOwn(STOPS, rawStop ?? '') ? rawStop as StopReason : 'end_turn', hasTool)
    const whole = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0, ...usage }
    events.push({ type: 'end', stop, rawStop, stopSequence, usage: whole })
  }

  function fail(problem: string | DarioError): void {
    done = true
    const error = typeof problem === 'string' ? new DarioError('upstream_protocol', problem) : problem
    events.push({ type: 'error', error })
  }

  function read(data: JsonObject, type: string): void {
    const at = optionalNum(data['index']) ?? 0
    const isLate = messageId === undefined && (type.startsWith('content_block') || type.startsWith('message_'))
    if (isLate && type !== 'message_start') start({})
    switch (type) {
      case 'message_start': return start(optionalObj(data['message']) ?? {})
      case 'content_block_start': return startBlock(at, optionalObj(data['content_block']) ?? { type: 'text' })
      case 'content_block_delta': return readDelta(at, optionalObj(data['delta']) ?? {})
      case 'content_block_stop': return stopBlock(at)
      case 'message_delta':
        readStop(optionalObj(data['delta']) ?? {})
        usage = { ...usage, ...readWireUsage(optionalObj(data['usage']) ?? {}) }
        return
      case 'message_stop':
        if (rawStop !== undefined || next > 0 || open.size > 0) return finish()
        return fail('the upstream sent an answer with nothing in it; send the request again')
      case 'ping': return void events.push({ type: 'ping' })
      case 'error': return fail(decodeError(200, JSON.stringify(data)))
    }
  }

  return {
    push(event) {
      const data = done ? undefined : parseObject(event.data)
      if (data !== undefined) read(data, optionalStr(data['type']) ?? event.event ?? '')
      else if (event.event === 'error' && !done) fail(decodeError(200, event.data)) // other bad lines spoil nothing: S24
      return events.splice(0)
    },
    end() {
      if (done) return []
      if (rawStop !== undefined && messageId !== undefined) finish() // only the last frame was lost (S16)
      else fail('the upstream closed the stream before the answer was complete; send the request again')
      return events.splice(0)
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
