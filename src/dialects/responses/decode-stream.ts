/**
 * Decodes Responses streams and whole answers. Items are known by `output_index`, because some servers change ids; by
 * id where there is no index, or one for two. Text without deltas is taken from `done` events or the final object.
 * https://platform.openai.com/docs/api-reference/responses-streaming
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, HubEvent, JsonObject, Usage } from '../../hub/types.ts'
import type { SseEvent } from '../../sse.ts'
import type { DecodeContext, StreamDecoder } from '../dialect.ts'
import { toToolUse } from '../encoding.ts'
import { NO_USAGE, decodeError, decodeUsage } from '../openai.ts'
import { defined, isObject, objectsIn, optionalArr, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'
import { decodeStop, isCall, isSameItem, readInput, readProof, readThought } from './wire.ts'

/** A hub block that an item or one of its parts has become. */
interface Piece {
  index: number
  /** Summary part, or the channel, that its last delta came from; '' before the first: a whole text is then news. */
  part: string
  open: boolean
}

interface Item {
  /** As last seen; of one that was never announced only its type, by its first event. */
  value: JsonObject
  pieces: Map<string, Piece>
  /** Tool input that came before the tool's name (pitfall S11). */
  waiting: string
  /** Another item took its index: only its id tells what is its own (pitfall R10). */
  moved: boolean
  done: boolean
}

export function createStreamDecoder(context: DecodeContext): StreamDecoder & { finish(whole: JsonObject): HubEvent[] } {
  const items: Item[] = []
  const byIndex = new Map<number, Item>(), byId = new Map<unknown, Item>()
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
    const piece: Piece = { index: nextIndex++, part: '', open: true }
    item.pieces.set(key, piece)
    events.push({ type: 'block_start', index: piece.index, block })
    return piece
  }

  function write(piece: Piece, text: string, part = 'said'): void {
    if (text === '' || !piece.open) return
    piece.part = part
    events.push({ type: 'delta', index: piece.index, text })
  }

  function close(piece: Piece): void {
    if (piece.open) events.push({ type: 'block_end', index: piece.index })
    piece.open = false
  }

  /** The item that an event belongs to. */
  function itemOf(data: JsonObject, type: string): Item {
    const index = optionalNum(data['output_index'])
    const named = byId.get(data['item_id'])
    const known = named?.moved ? named : index === undefined ? named ?? items.at(-1) : byIndex.get(index)
    return known ?? addItem(index, { type })
  }

  function addItem(index: number | undefined, value: JsonObject): Item {
    const item: Item = { value, pieces: new Map(), waiting: '', moved: false, done: false }
    items.push(item)
    if (index !== undefined) byIndex.set(index, item)
    return item
  }

  /** An item as an `added` or `done` event shows it. */
  function describe(value: JsonObject, index: number | undefined, isDone: boolean): void {
    const named = byId.get(value['call_id'] ?? value['id'])
    const own = index === undefined || named?.moved ? named : byIndex.get(index)
    const isSame = (item: Item): boolean => isSameItem(item.value, value)
    const isOneOfMany = isDone && (index === undefined || own !== undefined)
    // Of the latest: among very many without an index, a search of all would take minutes.
    const known = own && isSame(own) ? own : isOneOfMany ? items.slice(-64).find((item) => !item.done && isSame(item)) : undefined
    if (known === undefined && own !== undefined) own.moved = true
    const item = known ?? addItem(index, value)
    for (const name of [value['id'], value['call_id']]) if (name) byId.set(name, item)
    if (isDone) return finishItem(item, value)
    item.value = value
    if (isCall(value)) toolOf(item)
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
    write(piece, piece.part === '' || piece.part === part ? text : `\n\n${text}`, part)
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
    const kind = item.value['type'] === 'custom_tool_call' ? 'custom' : 'function'
    const piece = open(item, 'tool', toToolUse(context, id, wireName, kind, optionalStr(item.value['namespace'])))
    write(piece, item.waiting)
    return piece
  }

  function writeInput(item: Item, text: string, whole: boolean): void {
    const piece = toolOf(item)
    if (whole && (piece?.part ?? item.waiting) !== '') return
    if (piece === undefined) item.waiting += text
    else write(piece, text)
  }

  /** Fills in what no delta brought and ends the item's blocks. */
  function finishItem(item: Item, value: JsonObject): void {
    if (item.done) return
    item.done = true
    item.value = { ...item.value, ...value }
    switch (optionalStr(item.value['type'])) {
      case 'message':
        for (const [index, part] of objectsIn(item.value['content']).entries()) {
          const kind = part['type'] === 'refusal' ? 'refusal' : 'text'
          say(item, kind, index, optionalStr(part[kind]) ?? '', true)
        }
        break
      case 'reasoning': {
        if (!item.pieces.has('thinking')) think(item, 'whole', readThought(item.value))
        const proof = readProof(item.value), piece = item.pieces.get('thinking')
        if (proof === undefined) break
        if (piece === undefined) open(item, 'thinking', { type: 'thinking', text: '', ...proof })
        else events.push({ type: 'seal', index: piece.index, seal: proof.seal })
        break
      }
      case 'function_call':
      case 'custom_tool_call': writeInput(item, readInput(item.value), true); break
      case undefined: break
      default: // a server tool's item, or a client tool that only this dialect has (pitfall O23)
        open(item, 'opaque', { type: 'opaque', origin: 'responses', value: item.value })
    }
    item.pieces.forEach(close)
  }

  /** The final object: its output counts only for items that the stream did not finish (pitfall O20). */
  function finish(response: JsonObject): void {
    const { error, status } = response, output = optionalArr(response['output'])
    if (isObject(error) || status === 'failed' || status === 'cancelled')
      return fail(decodeError(200, JSON.stringify({ error })), decodeUsage(response['usage']))
    if (status === 'queued' || status === 'in_progress' || (output === undefined && !started))
      return fail(new DarioError('upstream_protocol', 'the upstream sent no finished answer; try again, or another backend'))
    const nothingStreamed = items.length === 0
    for (const [index, value] of objectsIn(output).entries()) {
      const item = byId.get(value['call_id'] ?? value['id']) ?? byIndex.get(index)
      if (nothingStreamed) describe(value, index, true)
      else if (item !== undefined && isSameItem(item.value, value)) finishItem(item, value)
    }
    conclude(response)
  }

  function conclude(response: JsonObject): void {
    start(response)
    for (const item of items) {
      finishItem(item, {})
      item.pieces.forEach(close) // text that came after its item was done
    }
    over = true
    const rawStop = optionalStr(optionalObj(response['incomplete_details'])?.['reason']) ?? optionalStr(response['status'])
    const usage = decodeUsage(response['usage']) ?? NO_USAGE
    events.push(defined<HubEvent>({ type: 'end', stop: decodeStop(response, saw), usage, rawStop }))
  }

  function fail(error: DarioError, usage?: Usage): void {
    over = true
    events.push(defined<HubEvent>({ type: 'error', error, usage }))
  }

  function read({ event, data: text }: SseEvent): void {
    if (text.trim() === '[DONE]') {
      // S16: some servers send this marker and no final object. Whole, if every item that was begun is finished.
      return items.length > 0 && items.every((item) => item.done) ? conclude({}) : undefined
    }
    const data = parseObject(text)
    if (data === undefined) return // S24: one bad line must not end a good answer
    const type = optionalStr(data['type']) ?? event ?? '', response = optionalObj(data['response'])
    switch (type) {
      case 'response.created': return start(response)
      case 'response.completed':
      case 'response.incomplete': {
        const cut = type === 'response.incomplete' || response?.['status'] === 'incomplete' // vLLM: `completed` for both
        return finish({ ...response, status: cut ? 'incomplete' : 'completed' })
      }
      case 'response.failed':
      case 'response.cancelled': return finish({ ...response, status: 'failed' })
      case 'error': return fail(decodeError(200, text))
      case 'keepalive': events.push({ type: 'ping' }); return
      default: return readItem(type, data)
    }
  }

  function readItem(type: string, data: JsonObject): void {
    // A `done` event names its text by what it is.
    const said = data['delta'] ?? data['text'] ?? data['refusal'] ?? data['arguments'] ?? data['input']
    const text = optionalStr(said) ?? '', whole = type.endsWith('.done')
    if (text === '' && type.endsWith('.delta')) return
    switch (type.slice('response.'.length, type.lastIndexOf('.'))) {
      case 'output_item': return describe(optionalObj(data['item']) ?? {}, optionalNum(data['output_index']), whole)
      case 'output_text': return say(itemOf(data, 'message'), 'text', data['content_index'], text, whole)
      case 'refusal': return say(itemOf(data, 'message'), 'refusal', data['content_index'], text, whole)
      case 'reasoning_summary_text':
      case 'reasoning_summary': // xAI's older word
        return whole ? undefined : think(itemOf(data, 'reasoning'), `s${optionalNum(data['summary_index']) ?? 0}`, text)
      case 'reasoning_text': return whole ? undefined : think(itemOf(data, 'reasoning'), 'raw', text)
      case 'function_call_arguments': return writeInput(itemOf(data, 'function_call'), text, whole)
      case 'custom_tool_call_input': return writeInput(itemOf(data, 'custom_tool_call'), text, whole)
    }
  }

  /** The events that the step before it has made. */
  const take = (_step: void): HubEvent[] => events.splice(0)
  const cut = 'the upstream closed the stream half way through its answer; try again'
  return {
    finish: (whole) => take(finish(whole)),
    push: (event) => over ? [] : take(read(event)),
    end: () => over ? [] : take(fail(new DarioError('upstream_protocol', cut))),
  }
}
