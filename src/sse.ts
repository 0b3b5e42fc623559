/**
 * Server-Sent Events, both directions: text chunks in, events out; an event in, text out.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @module
 */
import { DarioError } from './errors.ts'
import type { JsonObject } from './hub/types.ts'

export interface SseEvent {
  event: string | undefined
  data: string
}

/** One decoder per stream. Feed it text from one streaming decoder of bytes (pitfall S1). */
export interface SseDecoder {
  /** @throws DarioError `upstream_protocol` when one event is larger than the limit. */
  push(text: string): SseEvent[]
  /** The stream is over: an event without its blank line still counts, because some servers end so (pitfall S22). */
  end(): SseEvent[]
}

/** `maxEventChars`: bound on one event in UTF-16 units, so that a stream without line ends cannot fill memory. */
export function createSseDecoder(maxEventChars = 16_777_216): SseDecoder {
  const tail: string[] = [] // the unfinished line, in pieces: joining on every chunk would be quadratic
  let event: string | undefined
  let data: string | undefined
  let size = 0
  let isFirst = true
  let skipLineFeed = false // the last chunk ended in \r, which may be half of \r\n

  function grow(chars: number): void {
    size += chars
    if (size <= maxEventChars) return
    throw new DarioError('upstream_protocol', `the upstream sent one event of over ${maxEventChars} characters`)
  }

  function readLine(line: string): SseEvent | undefined {
    if (line === '') {
      const done = data === undefined ? undefined : { event, data }
      event = data = undefined
      size = 0
      return done
    }
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`
    else if (field === 'event') event = value || undefined
    return undefined // `id`, `retry`, comments: nothing to a proxy that never reconnects
  }

  return {
    push(text) {
      if (text === '') return []
      if (isFirst && text.startsWith('\uFEFF')) text = text.slice(1)
      isFirst = false
      if (skipLineFeed && text.startsWith('\n')) text = text.slice(1)
      skipLineFeed = text.endsWith('\r')
      const events: SseEvent[] = []
      const pieces = text.includes('\r') ? text.split(/\r\n|\n|\r/) : text.split('\n') // the plain split is faster
      const unfinished = pieces.pop() ?? ''
      for (const piece of pieces) {
        grow(piece.length)
        const done = readLine(tail.length === 0 ? piece : tail.splice(0).join('') + piece)
        if (done !== undefined) events.push(done)
      }
      if (unfinished !== '') tail.push(unfinished)
      grow(unfinished.length)
      return events
    },
    end() {
      const done = readLine(tail.splice(0).join('')) ?? readLine('')
      return done === undefined ? [] : [done]
    },
  }
}

/** One event as text. An object is written as JSON; a text may have several lines. */
export function encodeSse(event: string | undefined, data: JsonObject | string): string {
  const text = typeof data === 'string' ? data.replaceAll('\n', '\ndata: ') : JSON.stringify(data)
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`
}
