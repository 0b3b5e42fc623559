/**
 * Chat Completions answers, streamed or whole, as hub events. Chat has no block ends and its vendors agree on little,
 * so everything here is read leniently (pitfalls S2 to S16, O1 to O9) and the grammar of the hub is made by us.
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { HubEvent, Json, JsonObject, Seal, Usage } from '../../hub/types.ts'
import type { SseEvent } from '../../sse.ts'
import type { DecodeContext, StreamDecoder } from '../dialect.ts'
import { joinTexts, objectsIn, optionalArr, optionalObj, optionalStr, parseObject } from '../read.ts'
import { createCallDecoder } from './decode-calls.ts'
import { decodeErrorObject, isErrorObject } from './error.ts'
import { createDetailCollector, createThinkSplitter } from './reasoning.ts'
import { decodeFinishReason, readUsage } from './wire.ts'

const NO_USAGE: Usage = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0 }
/** Vendors' words for "it broke" in the place of a finish reason: OpenRouter, Zhipu, DeepSeek, vLLM, Gemini. */
const BROKEN = /^(?:error|network_error|insufficient_system_resource|abort)$|malformed_function_call$/i

const isBroken = (choice: JsonObject): boolean => BROKEN.test(optionalStr(choice['finish_reason']) ?? '')

type Kind = 'text' | 'thinking' | 'refusal'

export function createStreamDecoder(context: DecodeContext): StreamDecoder {
  const answer = createAnswerDecoder(context)
  let malformed = 0
  return {
    push(event) {
      if (event.data.trim() === '[DONE]') return answer.close(true)
      const data = parseObject(event.data)
      if (data !== undefined) return answer.push(data, event.event === 'error')
      if (event.event === 'error') return answer.fail(decodeErrorObject({ message: event.data }))
      malformed++ // S24: one bad event must not end a good stream
      return []
    },
    end: () => answer.close(false, malformed),
  }
}

/** A whole JSON answer cannot be cut, so it needs no finish reason; it may still be an error inside a 200 (O7). */
export function decodeReply(body: JsonObject, context: DecodeContext): HubEvent[] {
  const answer = createAnswerDecoder(context)
  const events = answer.push(body, false)
  return [...events, ...answer.close(true)]
}

function createAnswerDecoder(context: DecodeContext) {
  let started = false, over = false, nextIndex = 0
  let usage: Partial<Usage> | undefined, finish: string | undefined
  let open: { kind: Kind; index: number } | undefined
  let refused = false
  let streamed = false // some vendors close a stream with the whole message once more (MiniMax)
  const calls = createCallDecoder(context, () => nextIndex++)
  const think = createThinkSplitter()
  const details = createDetailCollector()

  function closeProse(): HubEvent[] {
    if (open === undefined) return []
    const { kind, index } = open
    open = undefined
    const seal = kind === 'thinking' ? details.take() : undefined
    return [...(seal === undefined ? [] : [{ type: 'seal', index, seal } as const]), { type: 'block_end', index }]
  }

  /** A change of kind ends one block and begins the next (S8), and the text that caused it is not lost (S6). */
  function prose(kind: Kind, text: string): HubEvent[] {
    const events: HubEvent[] = []
    if (text === '') return events
    if (open?.kind !== kind) {
      events.push(...closeProse())
      open = { kind, index: nextIndex++ }
      events.push({ type: 'block_start', index: open.index, block: { type: kind, text: '' } })
    }
    if (kind === 'refusal') refused = true
    events.push({ type: 'delta', index: (open as { index: number }).index, text })
    return events
  }

  /** Proof of reasoning without any text: a block of its own. */
  function redacted(seal: Seal | undefined): HubEvent[] {
    if (seal === undefined) return []
    const closing = closeProse(), index = nextIndex++
    const block = { type: 'thinking', text: '', redacted: true, seal } as const
    return [...closing, { type: 'block_start', index, block }, { type: 'block_end', index }]
  }

  const flushThink = (): HubEvent[] => think.flush().flatMap((piece) => prose(piece.kind, piece.text))

  function readReasoning(delta: JsonObject): HubEvent[] {
    const entries = objectsIn(delta['reasoning_details'])
    const text = details.push(entries)
    // The same words may come in all three fields (O6).
    const shown = optionalStr(delta['reasoning_content']) || optionalStr(delta['reasoning']) || text
    if (shown !== '') return [...flushThink(), ...prose('thinking', shown)]
    return open?.kind === 'thinking' ? [] : redacted(details.take())
  }

  function readContent(content: Json | undefined): HubEvent[] {
    if (typeof content === 'string') {
      return content === '' ? [] : think.push(content).flatMap((piece) => prose(piece.kind, piece.text))
    }
    return objectsIn(content).flatMap((part) => {
      if (part['type'] === 'thinking') return prose('thinking', joinTexts(part['thinking'], '')) // Mistral
      if (part['type'] === 'refusal') return prose('refusal', optionalStr(part['refusal']) ?? '')
      return prose('text', optionalStr(part['text']) ?? '') // lossy: images and audio in answers have no block here
    })
  }

  function readChoice(choice: JsonObject, position: number): HubEvent[] {
    const piece = optionalObj(choice['delta'])
    streamed ||= piece !== undefined
    const delta = piece ?? (streamed ? {} : optionalObj(choice['message']) ?? {})
    const events = [
      ...readReasoning(delta),
      ...readContent(delta['content']),
      ...prose('refusal', optionalStr(delta['refusal']) ?? ''),
    ]
    const pieces = optionalArr(delta['tool_calls']) ?? []
    const legacy = optionalObj(delta['function_call'])
    // S7: an empty list is no call, it must not end the text block.
    if (pieces.length > 0 || legacy !== undefined) events.push(...flushThink(), ...closeProse())
    for (const piece of pieces) events.push(...calls.push(piece, position))
    if (legacy !== undefined) events.push(...calls.push(legacy, position, `${position}:function_call`))
    const word = optionalStr(choice['finish_reason'])
    // It may come twice, and once per choice: a plain `stop` says the least, so anything else replaces it.
    if (word !== undefined && word !== '' && (finish === undefined || finish === 'stop')) finish = word
    return events
  }

  function start(data: JsonObject): HubEvent[] {
    if (started) return []
    started = true
    const id = optionalStr(data['id']) || context.newId('chatcmpl-')
    return [{ type: 'start', id, model: optionalStr(data['model']) ?? '', ...(usage === undefined ? {} : { usage }) }]
  }

  function fail(error: DarioError): HubEvent[] {
    if (over) return []
    over = true
    return [{ type: 'error', error }]
  }

  return {
    push(data: JsonObject, isError: boolean): HubEvent[] {
      if (over) return [] // S23: nothing counts after the end
      usage = readUsage(data) ?? usage // snapshots, not increments
      const choices = objectsIn(data['choices'])
      if (isError || isErrorObject(data)) return fail(decodeErrorObject(data))
      if (choices.some(isBroken))
        return fail(new DarioError('upstream_error', 'the upstream gave up in mid-answer; try again'))
      if (choices.length === 0) return [] // usage, prompt filter results, a bare id (S2, O2)
      const events = start(data)
      // S34: several choices are one turn; clients of the other dialects know only one answer.
      for (const [position, choice] of choices.entries()) {
        events.push(...readChoice(choice, typeof choice['index'] === 'number' ? choice['index'] : position))
      }
      return events
    },
    fail,
    /** @param marked the upstream says that this is the end: what has content needs no finish reason (S16) */
    close(marked: boolean, malformed = 0): HubEvent[] {
      if (over) return []
      if (finish === undefined && !(marked && (nextIndex > 0 || calls.any()))) {
        const unread = malformed > 0 ? ` (${malformed} events were not JSON)` : ''
        const message = `the upstream's answer ended before it was complete${unread}; try again`
        return fail(new DarioError('upstream_protocol', message))
      }
      over = true
      const seen = { tools: calls.any(), refusal: refused }
      const stop = decodeFinishReason(finish, seen)
      const ending = [...start({}), ...flushThink(), ...closeProse(), ...calls.close()]
      const rawStop = finish === undefined ? {} : { rawStop: finish }
      return [...ending, { type: 'end', stop, ...rawStop, usage: { ...NO_USAGE, ...usage } }]
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
