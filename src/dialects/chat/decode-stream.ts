/**
 * Chat Completions answers, streamed or whole, as hub events. Chat has no block ends and its vendors agree on little,
 * so everything here is read leniently (pitfalls S2 to S16, O1 to O9) and the grammar of the hub is made by us.
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { HubEvent, Json, JsonObject, Seal, Usage } from '../../hub/types.ts'
import type { SseEvent } from '../../sse.ts'
import type { DecodeContext, StreamDecoder } from '../dialect.ts'
import { NO_USAGE, decodeError } from '../openai.ts'
import { defined, joinTexts, objectsIn, optionalArr, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'
import { createCallDecoder } from './decode-calls.ts'
import { createDetailCollector, createThinkSplitter, readCallProof } from './reasoning.ts'
import { decodeFinishReason, isErrorObject, readStopSequence, readUsage } from './wire.ts'

/** Vendors' words for "it broke" in the place of a finish reason: OpenRouter, Zhipu, DeepSeek, vLLM, Gemini. */
const BROKEN = /^(?:error|network_error|insufficient_system_resource|abort)$|malformed_function_call$/i

const isBroken = (choice: JsonObject): boolean => BROKEN.test(optionalStr(choice['finish_reason']) ?? '')

type Kind = 'text' | 'thinking' | 'refusal'

export function createStreamDecoder(context: DecodeContext): StreamDecoder & { whole(body: JsonObject): HubEvent[] } {
  const events: HubEvent[] = []
  let started = false, over = false, nextIndex = 0, malformed = 0
  let usage: Partial<Usage> | undefined, finish: string | undefined, stopSequence: string | undefined
  let open: { kind: Kind; index: number } | undefined
  let refused = false
  let streamed = false // some vendors close a stream with the whole message once more (MiniMax)
  const calls = createCallDecoder(context, events, () => nextIndex++)
  const think = createThinkSplitter(prose)
  const details = createDetailCollector()

  function closeProse(): void {
    if (open === undefined) return
    const { kind, index } = open
    open = undefined
    const seal = kind === 'thinking' ? details.take() : undefined
    if (seal !== undefined) events.push({ type: 'seal', index, seal })
    events.push({ type: 'block_end', index })
  }

  /** A change of kind ends one block and begins the next (S8), and the text that caused it is not lost (S6). */
  function prose(kind: Kind, text: string): void {
    if (text === '') return
    if (open?.kind !== kind) {
      closeProse()
      open = { kind, index: nextIndex++ }
      events.push({ type: 'block_start', index: open.index, block: { type: kind, text: '' } })
    }
    if (kind === 'refusal') refused = true
    events.push({ type: 'delta', index: (open as { index: number }).index, text })
  }

  /** Proof of reasoning without any text: a block of its own. */
  function redacted(seal: Seal | undefined): void {
    if (seal === undefined) return
    closeProse()
    const index = nextIndex++
    const block = { type: 'thinking', text: '', redacted: true, seal } as const
    events.push({ type: 'block_start', index, block }, { type: 'block_end', index })
  }

  function readReasoning(delta: JsonObject): void {
    const text = delta['reasoning_details'] == null ? '' : details.push(objectsIn(delta['reasoning_details']))
    // The same words may come in all three fields (O6).
    const shown = optionalStr(delta['reasoning_content']) || optionalStr(delta['reasoning']) || text
    if (shown !== '') {
      think.flush()
      prose('thinking', shown)
    } else if (open?.kind !== 'thinking') redacted(details.take())
  }

  function readContent(content: Json | undefined): void {
    if (typeof content === 'string') return content === '' ? undefined : think.push(content)
    for (const part of objectsIn(content)) {
      if (part['type'] === 'thinking') prose('thinking', joinTexts(part['thinking'], '')) // Mistral
      else if (part['type'] === 'refusal') prose('refusal', optionalStr(part['refusal']) ?? '')
      else prose('text', optionalStr(part['text']) ?? '') // lossy: images and audio in answers have no block here
    }
  }

  function readChoice(choice: JsonObject, position: number): void {
    const piece = optionalObj(choice['delta'])
    streamed ||= piece !== undefined
    const delta = piece ?? (streamed ? {} : optionalObj(choice['message']) ?? {})
    readReasoning(delta)
    readContent(delta['content'])
    prose('refusal', optionalStr(delta['refusal']) ?? '')
    const pieces = optionalArr(delta['tool_calls']) ?? []
    const legacy = optionalObj(delta['function_call'])
    if (pieces.length > 0 || legacy !== undefined) { // S7: an empty list is no call, it must not end the text block
      think.flush()
      closeProse()
    }
    for (const piece of pieces) {
      redacted(readCallProof(piece))
      calls.push(piece, position)
    }
    if (legacy !== undefined) calls.push(legacy, position, `${position}:function_call`)
    const word = optionalStr(choice['finish_reason'])
    // It may come twice, and once per choice: a plain `stop` says the least, so anything else replaces it.
    if (word !== undefined && word !== '' && (finish === undefined || finish === 'stop')) finish = word
    stopSequence ??= readStopSequence(choice)
  }

  function start(data: JsonObject): void {
    if (started) return
    started = true
    const id = optionalStr(data['id']) || context.newId('chatcmpl-')
    const model = optionalStr(data['model']) ?? ''
    events.push({ type: 'start', id, model, ...(usage === undefined ? {} : { usage }) })
  }

  function fail(error: DarioError): void {
    over = true
    events.push(defined<HubEvent>({ type: 'error', error, usage }))
  }

  function read(data: JsonObject, isError: boolean): void {
    usage = readUsage(data) ?? usage // snapshots, not increments
    const choices = objectsIn(data['choices'])
    if (isError || isErrorObject(data)) return fail(decodeError(200, JSON.stringify(data)))
    if (choices.some(isBroken))
      return fail(new DarioError('upstream_error', 'the upstream gave up in mid-answer; try again'))
    if (choices.length === 0) return // usage, prompt filter results, a bare id (S2, O2)
    start(data)
    // S34: several choices are one turn; clients of the other dialects know only one answer.
    for (const [position, choice] of choices.entries()) readChoice(choice, optionalNum(choice['index']) ?? position)
  }

  /** @param marked the upstream says that this is the end: what has content needs no finish reason (S16) */
  function close(marked: boolean): void {
    if (over) return
    if (finish === undefined && !(marked && (nextIndex > 0 || calls.any()))) {
      const unread = malformed > 0 ? ` (${malformed} events were not JSON)` : ''
      const message = `the upstream's answer ended before it was complete${unread}; try again`
      return fail(new DarioError('upstream_protocol', message))
    }
    over = true
    start({})
    think.flush()
    closeProse()
    calls.close()
    const stop = decodeFinishReason(finish, { tools: calls.any(), refusal: refused })
    const hit = stop === 'end_turn' ? stopSequence : undefined, whole = { ...NO_USAGE, ...usage }
    const told = hit === undefined ? stop : 'stop_sequence'
    events.push(defined<HubEvent>({ type: 'end', stop: told, rawStop: finish, stopSequence: hit, usage: whole }))
  }

  function readEvent({ event, data: text }: SseEvent): void {
    if (text.trim() === '[DONE]') return close(true)
    const data = parseObject(text)
    if (data !== undefined) read(data, event === 'error')
    else if (event === 'error') fail(decodeError(200, text))
    else malformed++ // S24: one bad event must not end a good stream
  }

  /** The events that the step before it has made; S23: nothing counts after the end. */
  const take = (_step: void): HubEvent[] => events.splice(0)
  return {
    push: (event) => over ? [] : take(readEvent(event)),
    end: () => take(close(false)),
    /** A JSON answer cannot be cut, so it needs no finish reason; it may still be an error inside a 200 (O7). */
    whole(body) {
      read(body, false)
      return take(close(true))
    },
  }
}

/** Whether nothing of this event is content yet: role only, usage only, empty strings, comments, unreadable. */
export function isPreamble(event: SseEvent): boolean {
  if (event.event === 'error' || event.data.trim() === '[DONE]') return false
  const data = parseObject(event.data)
  if (data === undefined) return true
  if (isErrorObject(data)) return false
  return objectsIn(data['choices']).every((choice) => {
    const delta = optionalObj(choice['delta']) ?? optionalObj(choice['message']) ?? {}
    const { role: _, ...content } = delta
    return !choice['finish_reason'] && Object.values(content).every(isEmpty)
  })
}

const isEmpty = (value: Json | undefined): boolean =>
  value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)

export function endOf(event: SseEvent): 'complete' | 'error' | undefined {
  if (event.data.trim() === '[DONE]') return 'complete'
  if (event.event === 'error') return 'error'
  // The relay asks for every event: most are ruled out without parsing them.
  if (!/"finish_reason"\s*:\s*"|"error"/.test(event.data)) return undefined
  const data = parseObject(event.data)
  if (data === undefined) return undefined
  const choices = objectsIn(data['choices'])
  if (isErrorObject(data) || choices.some(isBroken)) return 'error'
  return choices.some((choice) => optionalStr(choice['finish_reason'])) ? 'complete' : undefined
}
