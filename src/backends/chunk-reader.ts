/**
 * Takes a chunked body out of its framing. https://www.rfc-editor.org/rfc/rfc9112#section-7.1
 * @module
 */

export interface ChunkReader {
  /**
   * Tells `emit` the body's bytes behind `from`, at most once: chunks are moved together inside of `bytes`.
   * Returns the offset behind the body's end, undefined before that.
   * @throws Error with a `code` that `explain` knows.
   */
  read(bytes: Buffer, from: number, emit: (body: Buffer) => void): number | undefined
}

/** Bytes of all extensions and of the trailer, which nobody reads. */
const MAX_OVERHEAD = 32_768
/** 2^48 bytes are more than any answer. */
const MAX_SIZE_DIGITS = 12
const CR = 13, LF = 10, SEMICOLON = 59, TAB = 9, SPACE = 32

type State = 'size' | 'extension' | 'size end' | 'chunk' | 'chunk return' | 'chunk end' | 'trailer' | 'trailer line' | 'last end'

export function createChunkReader(): ChunkReader {
  let state: State = 'size'
  /** Of the chunk, as far as it is known or still to come. */
  let left = 0
  let digits = 0
  let overhead = 0

  /** One byte of the framing; true for the last one. */
  function readMark(byte: number): boolean {
    switch (state) {
      case 'size':
        readSize(byte)
        return false
      case 'extension':
        count()
        if (byte === CR) state = 'size end'
        else must(byte !== LF)
        return false
      case 'size end':
        must(byte === LF)
        state = left === 0 ? 'trailer' : 'chunk'
        return false
      case 'chunk return':
        must(byte === CR)
        state = 'chunk end'
        return false
      case 'chunk end':
        must(byte === LF)
        state = 'size'
        digits = 0
        return false
      case 'trailer':
        count()
        state = byte === CR ? 'last end' : 'trailer line'
        return false
      case 'trailer line':
        count()
        if (byte === LF) state = 'trailer'
        return false
      default:
        must(byte === LF)
        return true
    }
  }

  function readSize(byte: number): void {
    const digit = toDigit(byte)
    if (digit !== -1) {
      must(++digits <= MAX_SIZE_DIGITS)
      left = left * 16 + digit
    } else {
      must(digits > 0)
      if (byte === CR) state = 'size end'
      else {
        must(byte === SEMICOLON || byte === SPACE || byte === TAB)
        state = 'extension'
      }
    }
  }

  function count(): void {
    if (++overhead > MAX_OVERHEAD) throw toFault('HTTP_HEADER_OVERFLOW')
  }

  return {
    read(bytes, from, emit) {
      let at = from
      let start = -1 // of the first chunk's bytes in here
      let end = 0 // of what was moved together
      let isOver = false
      while (at < bytes.length && !isOver) {
        if (state !== 'chunk') {
          isOver = readMark(bytes[at++]!)
          continue
        }
        const stop = Math.min(bytes.length, at + left)
        if (start === -1) start = end = at
        if (end !== at) bytes.copyWithin(end, at, stop)
        end += stop - at
        left -= stop - at
        at = stop
        if (left === 0) state = 'chunk return'
      }
      if (start !== -1) emit(bytes.subarray(start, end))
      return isOver ? at : undefined
    },
  }
}

function toDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

function must(holds: boolean): void {
  if (!holds) throw toFault('HTTP_INVALID')
}

export function toFault(code: 'HTTP_INVALID' | 'HTTP_HEADER_OVERFLOW'): Error {
  return Object.assign(new Error(`the upstream's answer: ${code}`), { code })
}
