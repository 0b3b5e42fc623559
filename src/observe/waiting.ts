/**
 * Lines that wait to be written or sent, as bytes in chunks that are filled again and again.
 * @module
 */

/** Text that waits, as bytes beside the heap: strings that wait are copied by each collection of garbage. */
export interface Waiting {
  readonly size: number
  /** Bytes are copied. */
  add(text: string | Buffer): void
  /** All of it, which is then nobody's but the caller's. */
  take(): Buffer[]
  /** In front of what was added since. */
  putBack(bytes: readonly Buffer[]): void
}

const CHUNK = 65_536 // bytes
const MOST_SPARE = 64 // chunks
const SOME = 4096 // characters

/**
 * Chunks to be filled again. One that waits for half a second is old for the collector of garbage, which then must look
 * through everything to find out that it is not: under load once a second, at a twentieth of the processor's time.
 */
const spare: Buffer[] = []
/** Small buffers of everyone share a pool, which may be as large as a chunk: only what was made as one may be filled again. */
const made = new WeakSet<ArrayBufferLike>()

function makeChunk(): Buffer {
  const chunk = Buffer.allocUnsafeSlow(CHUNK)
  made.add(chunk.buffer)
  return chunk
}

/** Nobody needs what `taken` holds any more. */
export function reuse(taken: readonly Buffer[]): void {
  for (const { buffer } of taken) if (made.has(buffer) && spare.length < MOST_SPARE) spare.push(Buffer.from(buffer))
}

/** Of more than `most` bytes the oldest are dropped, by whole texts. */
export function createWaiting(most: number): Waiting {
  let chunks: Buffer[] = []
  let chunk: Buffer = Buffer.alloc(0) // is filled up to `used`
  let used = 0
  let size = 0
  let text = '' // a little of it may wait as it is: to turn each line into bytes takes longer

  /** Goes to where there is room: making room for each text anew takes longer than to write it. */
  function put(more: string | Buffer): void {
    const most = typeof more === 'string' ? more.length * 3 : more.length
    if (most > chunk.length - used) {
      cut()
      chunk = most > CHUNK ? Buffer.allocUnsafeSlow(most) : spare.pop() ?? makeChunk()
    }
    const written = typeof more === 'string' ? chunk.write(more, used) : more.copy(chunk, used)
    used += written
    size += written
    limit()
  }

  function seal(): void {
    if (text === '') return
    put(text)
    text = ''
  }

  function cut(): void {
    if (used > 0) chunks.push(chunk.subarray(0, used))
    chunk = Buffer.alloc(0)
    used = 0
  }

  function limit(): void {
    while (size > most && chunks.length > 0) size -= chunks.shift()!.length
  }

  return {
    get size() {
      return size + text.length
    },
    add(more) {
      if (typeof more === 'string') text += more
      if (typeof more !== 'string' || text.length >= SOME) seal()
      if (typeof more !== 'string') put(more)
    },
    take() {
      seal()
      cut()
      const taken = chunks
      chunks = []
      size = 0
      return taken
    },
    putBack(bytes) {
      for (const one of bytes.toReversed()) {
        size += one.length
        // Each batch of a quiet hour would hold a chunk for one line: a disk that is full overnight would fill memory.
        const fits = chunks[0] !== undefined && chunks[0].length + one.length <= CHUNK
        chunks.unshift(fits ? Buffer.concat([one, chunks.shift()!]) : one)
      }
      limit()
    },
  }
}
