/**
 * Server-Sent Events decoder: text chunks in, events out.
 * Only a blank line dispatches; an unterminated tail is dropped, as the standard asks.
 * @module
 */
import { DarioError } from './errors.ts'

export interface SseEvent { event: string | undefined; data: string }

/** Returns a stateful `push`. Feed it text from one streaming TextDecoder, which eats the BOM. */
export function createSseDecoder(maxEventChars = 16_777_216): (text: string) => SseEvent[] {
  const tail: string[] = [] // the unfinished line, in pieces: joining on every chunk would be quadratic
  let event: string | undefined, data: string[] = [], size = 0
  let skipLineFeed = false // the last chunk ended in \r, which may be half of \r\n
  return function push(text) {
    if (text === '') return []
    if (skipLineFeed && text.startsWith('\n')) text = text.slice(1)
    skipLineFeed = text.endsWith('\r')
    const events: SseEvent[] = []
    const pieces = text.split(/\r\n|\n|\r/)
    for (const [index, piece] of pieces.entries()) {
      size += piece.length
      if (size > maxEventChars) throw new DarioError('upstream_protocol', `the upstream sent one event of over ${maxEventChars} characters`)
      tail.push(piece)
      if (index === pieces.length - 1) break // no line end yet
      const line = tail.splice(0).join('')
      const colon = line.indexOf(':')
      const field = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
      if (field === 'data') data.push(value)
      else if (field === 'event') event = value || undefined
      if (line !== '') continue // `id`, `retry`, comments: nothing to a proxy that never reconnects
      if (data.length > 0) events.push({ event, data: data.join('\n') })
      event = undefined
      data = []
      size = 0
    }
    return events
  }
}
