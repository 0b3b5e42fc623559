/**
 * Reads usage and the end of an answer while its bytes pass by. Decoding every event would cost as much as the relay
 * itself, so only lines that hold a telling word are parsed. A word inside an answer's text cannot be mistaken for one:
 * its quotation marks are escaped there.
 * @module
 */
import type { Dialect } from '../dialects/dialect.ts'
import type { DialectName, JsonObject, Usage } from '../hub/types.ts'

const TELLING: Record<DialectName, readonly string[]> = {
  anthropic: ['"usage"', '"message_stop"', '"error"'],
  chat: ['"usage"', '"finish_reason"', '[DONE]', '"error"'],
  responses: ['"response.completed"', '"response.incomplete"', '"response.failed"', '"type":"error"', '"type": "error"'],
}

/** One line may be a whole Responses answer; past this it is not looked at. */
const MAX_LINE_BYTES = 67_108_864

export interface Tap {
  push(chunk: Buffer): void
  /** Takes in a last line without a line end. */
  finish(): void
  readonly usage: Partial<Usage> | undefined
  readonly end: 'complete' | 'error' | undefined
  /** Whether the bytes so far end between two events, so that a keep-alive may stand here. */
  readonly betweenEvents: boolean
}

export function createTap(dialect: Dialect): Tap {
  const words = TELLING[dialect.name]
  let pieces: Buffer[] = []
  let held = 0
  let usage: Partial<Usage> | undefined
  let end: 'complete' | 'error' | undefined
  let lastBytes = '\n\n'

  function look(lines: Buffer): void {
    let last = -1
    for (const word of words) {
      for (let at = lines.indexOf(word); at !== -1; at = lines.indexOf(word, at + word.length)) {
        if (at <= last || isNull(lines, at + word.length)) continue
        const lineEnd = lines.indexOf(10, at)
        last = Math.max(last, lineEnd === -1 ? lines.length : lineEnd)
        read(lines.toString('utf8', lines.lastIndexOf(10, at) + 1, lineEnd === -1 ? lines.length : lineEnd))
      }
      last = -1
    }
  }

  function read(line: string): void {
    if (!line.startsWith('data:')) return
    const text = line.slice(5).trim()
    const found = dialect.endOf({ event: undefined, data: text })
    // A complete answer stays complete: some vendors send a usage chunk after the finish reason.
    if (found !== undefined && end !== 'error') end = found
    if (text === '[DONE]') return
    try {
      const seen = dialect.readUsage(JSON.parse(text) as JsonObject)
      // Snapshots, not increments: overwrite, never add (pitfall U1).
      if (seen !== undefined) usage = { ...usage, ...seen }
    } catch {
      // A malformed line is the client's to judge: its bytes pass on untouched (pitfall S24).
    }
  }

  return {
    push(chunk) {
      if (chunk.length === 0) return
      lastBytes = chunk.length > 3 ? chunk.toString('latin1', chunk.length - 4) : (lastBytes + chunk.toString('latin1')).slice(-4)
      const newline = chunk.lastIndexOf(10)
      if (newline === -1) {
        held += chunk.length
        if (held <= MAX_LINE_BYTES) pieces.push(chunk)
        return
      }
      const whole = chunk.subarray(0, newline + 1)
      look(pieces.length === 0 ? whole : Buffer.concat([...pieces, whole]))
      pieces = newline + 1 === chunk.length ? [] : [chunk.subarray(newline + 1)]
      held = chunk.length - newline - 1
    },
    finish() {
      if (pieces.length > 0) look(Buffer.concat(pieces))
      pieces = []
    },
    get usage() {
      return usage
    },
    get end() {
      return end
    },
    get betweenEvents() {
      return /(\n\n|\r\r|\r\n\r\n)$/.test(lastBytes)
    },
  }
}

function isNull(lines: Buffer, at: number): boolean {
  let next = at
  while (lines[next] === 58 || lines[next] === 32) next++
  return lines[next] === 110 // n of null
}
