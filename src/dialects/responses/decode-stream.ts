/**
 * Decodes Responses streams and whole answers. Items are known by `output_index` alone, because compatible servers
 * change item ids; text that came in no delta is taken from the `done` events or the final object.
 * https://platform.openai.com/docs/api-reference/responses-streaming
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, HubEvent, JsonObject } from '../../hub/types.ts'
import type { SseEvent } from '../../sse.ts'
import type { DecodeContext, StreamDecoder } from '../dialect.ts'
import { toToolUse } from '../encoding.ts'
import { decodeUsage } from '../openai.ts'
import { isObject, optionalArr, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'
import { decodeFailure } from './error.ts'
import { decodeStop, readThought, readSeal } from './wire.ts'

/** A hub block that an item or one of its parts has become. */
interface Piece {
  index: number
  /** Something of its text was sent: the whole text of a `done` event is then old news. */
  sent: boolean
  /** Summary part, or the channel, that its last delta came from. */
  part: string
}

interface Item {
  type: string
  value: JsonObject
  pieces: Map<string, Piece>
  /** Tool input that came before the tool's name (pitfall S11). */
  waiting: string[]
  done: boolean
}

/** Where an item has a call's input. */
const INPUT = { function_call: 'arguments', custom_tool_call: 'input' } as const

export function createStreamDecoder(context: DecodeContext): StreamDecoder & { finish(whole: JsonObject): HubEvent[] } {
  const items = new Map<number, Item>()
  const openPieces = new Set<Piece>()
  const callIds = new Set<string>()
  const events: HubEvent[] = []
  let nextIndex = 0, started = false, over = false
  const saw = { tool: false, refusal: false }

  function start(response: JsonObject | undefined): void {
    if (started) return
    started = true
    const id = optionalStr(response?.['id']) || context.newId('resp_')
    events.push({ type: 'start', id, model: optionalStr(response?.['model']) ?? '' })
  }

  function open(item: Item, key: string, block: Block): Piece {
    start(undefined)
    const piece: Piece = { index: nextIndex++, sent: false, part: '' }
    item.pieces.set(key, piece)
    openPieces.add(piece)
    events.push({ type: 'block_start', index: piece.index, block })
    return piece
  }

  function write(piece: Piece, text: string): void {
    if (text === '' || !openPieces.has(piece)) return
    piece.sent = true
    events.push({ type: 'delta', index: piece.index, text })
  }

  function close(piece: Piece): void {
    if (openPieces.delete(piece)) events.push({ type: 'block_end', index: piece.index })
  }

  /** The item that an event belongs to; one that was never announced gets its type from the event. */
  function itemOf(data: JsonObject, type: string): Item {
    return items.get(optionalNum(data['output_index']) ?? Math.max(0, items.size - 1)) ?? addItem(data, type)
  }

  function addItem(data: JsonObject, type: string): Item {
    const item: Item = { type, value: {}, pieces: new Map(), waiting: [], done: false }
    items.set(optionalNum(data['output_index']) ?? items.size, item)
    return item
  }

  /** `whole`: counts only if none of this part's text came before. */
  function say(item: Item, kind: 'text' | 'refusal', contentIndex: unknown, text: string, whole: boolean): void {
    const key = `${kind}${optionalNum(contentIndex) ?? 0}`
    if (text === '' || whole && item.pieces.has(key)) return
    if (kind === 'refusal') saw.refusal = true
    write(item.pieces.get(key) ?? open(item, key, { type: kind, text: '' }), text)
  }

  /** One thinking block per reasoning item: the channel that speaks first (summary or raw text) is the one shown. */
  function think(item: Item, part: string, text: string): void {
    if (text === '') return
    const piece = item.pieces.get('thinking') ?? open(item, 'thinking', { type: 'thinking', text: '' })
    if (piece.part !== '' && piece.part[0] !== part[0]) return
    write(piece, piece.part !== '' && piece.part !== part ? `\n\n${text}` : text)
    piece.part = part
  }

  /** The tool's block, as soon as its name is known; undefined before that, and for a repeated call (pitfall S10). */
  function toolOf(item: Item): Piece | undefined {
    const known = item.pieces.get('tool')
    if (known !== undefined) return known
    const wireName = optionalStr(item.value['name']) ?? ''
    if (wireName === '') return undefined // it may still come; B14: a call without one can be answered by nobody
    const id = optionalStr(item.value['call_id']) || optionalStr(item.value['id']) || context.newId('call_')
    if (callIds.has(id)) return undefined
    callIds.add(id)
    saw.tool = true
    const kind = item.type === 'custom_tool_call' ? 'custom' : 'function'
    const piece = open(item, 'tool', toToolUse(context, id, wireName, kind, optionalStr(item.value['namespace'])))
    for (const text of item.waiting.splice(0)) write(piece, text)
    return piece
  }

  function writeInput(item: Item, text: string, whole: boolean): void {
    const piece = toolOf(item)
    if (whole && (piece?.sent ?? item.waiting.length > 0)) return
    if (piece === undefined) item.waiting.push(text)
    else write(piece, text)
  }

  /** Fills in what no delta brought and ends the item's blocks. */
  function finishItem(item: Item, value: JsonObject): void {
    if (item.done) return
    item.done = true
    item.value = { ...item.value, ...value }
    switch (item.type) {
      case 'message':
        for (const [index, part] of (optionalArr(item.value['content']) ?? []).entries()) {
          if (!isObject(part)) continue
          const kind = part['type'] === 'refusal' ? 'refusal' : 'text'
          say(item, kind, index, optionalStr(part[kind]) ?? '', true)
        }
        break
      case 'reasoning': finishReasoning(item); break
      case 'function_call':
      case 'custom_tool_call': writeInput(item, optionalStr(item.value[INPUT[item.type]]) ?? '', true); break
      case '': break
      default: // a server tool's item, or a client tool that only this dialect has (pitfall O23)
        open(item, 'opaque', { type: 'opaque', origin: 'responses', value: item.value })
    }
    for (const piece of item.pieces.values()) close(piece)
  }

  function finishReasoning(item: Item): void {
    if (!item.pieces.has('thinking')) think(item, 'whole', readThought(item.value))
    const seal = readSeal(item.value)
    const piece = item.pieces.get('thinking')
    if (seal === undefined) return
    if (piece !== undefined && openPieces.has(piece)) events.push({ type: 'seal', index: piece.index, seal })
    else if (piece === undefined) open(item, 'thinking', { type: 'thinking', text: '', redacted: true, seal })
  }

  /** The final object: its output counts only for items that the stream did not finish (pitfall O20). */
  function finish(response: JsonObject): HubEvent[] {
    const status = optionalStr(response['status'])
    if (isObject(response['error']) || status === 'failed' || status === 'cancelled') {
      return fail(decodeFailure(response['error']))
    }
    const output = optionalArr(response['output'])
    if (status === 'queued' || status === 'in_progress' || (output === undefined && !started)) {
      return fail(new DarioError('upstream_protocol', 'the upstream sent no finished answer; try again, or another backend'))
    }
    const nothingStreamed = items.size === 0
    for (const [index, value] of (output ?? []).entries()) {
      if (!isObject(value)) continue
      const type = optionalStr(value['type']) ?? ''
      const item = nothingStreamed ? addItem({ output_index: index }, type) : items.get(index)
      if (item?.type === type) finishItem(item, value)
    }
    return conclude(response)
  }

  function conclude(response: JsonObject): HubEvent[] {
    start(response)
    for (const item of items.values()) finishItem(item, {})
    for (const piece of openPieces) close(piece) // text that came after its item was done
    over = true
    const stop = decodeStop(response, saw)
    const raw = optionalStr(optionalObj(response['incomplete_details'])?.['reason']) ?? optionalStr(response['status'])
    const usage = decodeUsage(response['usage']) ?? { input: 0, cacheRead: 0, cacheWrite: 0, output: 0 }
    events.push({ type: 'end', stop, usage, ...(raw === undefined ? {} : { rawStop: raw }) })
    return take()
  }

  function fail(error: DarioError): HubEvent[] {
    over = true
    events.push({ type: 'error', error })
    return take()
  }

  const take = (): HubEvent[] => events.splice(0)

  function announce(data: JsonObject): void {
    const value = optionalObj(data['item']) ?? {}
    const type = optionalStr(value['type']) ?? ''
    const before = items.get(optionalNum(data['output_index']) ?? -1)
    // R10: a server that gives two items one index is done with the first.
    if (before !== undefined && before.type !== type) finishItem(before, {})
    const item = before?.type === type ? before : addItem(data, type)
    item.value = value
    if (item.type === 'function_call' || item.type === 'custom_tool_call') toolOf(item)
  }

  function handle(type: string, data: JsonObject): void {
    // A `done` event names its text by what it is.
    const said = data['delta'] ?? data['text'] ?? data['refusal'] ?? data['arguments'] ?? data['input']
    const text = optionalStr(said) ?? '', whole = type.endsWith('.done')
    if (text === '' && type.endsWith('.delta')) return
    switch (type) {
      case 'response.created': return start(optionalObj(data['response']))
      case 'response.output_item.added': return announce(data)
      case 'response.output_item.done': {
        const value = optionalObj(data['item']) ?? {}
        return finishItem(itemOf(data, optionalStr(value['type']) ?? ''), value)
      }
      case 'response.output_text.delta':
      case 'response.output_text.done': return say(itemOf(data, 'message'), 'text', data['content_index'], text, whole)
      case 'response.refusal.delta':
      case 'response.refusal.done': return say(itemOf(data, 'message'), 'refusal', data['content_index'], text, whole)
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_summary.delta': // xAI's older word
        return think(itemOf(data, 'reasoning'), `s${optionalNum(data['summary_index']) ?? 0}`, text)
      case 'response.reasoning_text.delta': return think(itemOf(data, 'reasoning'), 'raw', text)
      case 'response.function_call_arguments.delta':
      case 'response.function_call_arguments.done': return writeInput(itemOf(data, 'function_call'), text, whole)
      case 'response.custom_tool_call_input.delta':
      case 'response.custom_tool_call_input.done': return writeInput(itemOf(data, 'custom_tool_call'), text, whole)
      case 'keepalive': events.push({ type: 'ping' })
    }
  }

  return {
    finish,
    push(event: SseEvent) {
      if (over) return []
      if (event.data.trim() === '[DONE]') {
        // S16: some servers send this marker and no final object. Whole, if every item that was begun is finished.
        return items.size > 0 && [...items.values()].every((item) => item.done) ? conclude({}) : []
      }
      const data = parseObject(event.data)
      if (data === undefined) return [] // S24: one bad line must not end a good answer
      const type = optionalStr(data['type']) ?? event.event ?? ''
      switch (type) {
        case 'response.completed':
        case 'response.incomplete': {
          const response = optionalObj(data['response'])
          const cut = type === 'response.incomplete' || response?.['status'] === 'incomplete' // vLLM: `completed` for both
          return finish({ ...response, status: cut ? 'incomplete' : 'completed' })
        }
        case 'response.failed':
        case 'response.cancelled': return fail(decodeFailure(optionalObj(data['response'])?.['error']))
        case 'error': return fail(decodeFailure(optionalObj(data['error']) ?? data))
        default: handle(type, data)
      }
      return take()
    },
    end: () => over ? []
      : fail(new DarioError('upstream_protocol', 'the upstream closed the stream half way through its answer; try again')),
  }
}
