/**
 * Lines to files in batches, off the request path: what is lost by a crash is less than a second old. A disk that is
 * full or read-only costs one complaint per minute and at worst the oldest lines, never a request.
 * @module
 */
import { appendFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../config/folder.ts'

export interface Appender {
  /** `line` ends with a line feed. */
  add(file: string, line: string): void
  /** Resolves when what was added is written, or has failed to be. */
  flush(): Promise<void>
}

const BATCH_MS = 500
const CHUNK = 65_536 // bytes
const SOME = 1024 // characters
const MAX_WAITING = 8_388_608 // bytes: what a disk that is full for a while may hold back

/** Text that waits, as bytes beside the heap: strings that wait are copied by each collection of garbage. */
export interface Waiting {
  readonly size: number
  add(text: string): void
  /** All of it, which is then nobody's but the caller's. */
  take(): Buffer[]
  /** In front of what was added since. */
  putBack(bytes: readonly Buffer[]): void
}

const MOST_SPARE = 64 // chunks

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

  /** What `text` holds goes to where there is room: making room for each text anew takes longer than to write it. */
  function seal(): void {
    if (text === '') return
    if (text.length * 3 > chunk.length - used) {
      cut()
      chunk = text.length * 3 > CHUNK ? Buffer.allocUnsafeSlow(text.length * 3) : spare.pop() ?? makeChunk()
    }
    const written = chunk.write(text, used)
    text = ''
    used += written
    size += written
    limit()
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
      text += more
      if (text.length >= SOME) seal()
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

const unwritten = new Set<() => void>()
let isWatchingExit = false

/**
 * A program that ends, by itself or by `process.exit`, waits for no batch; what waits is kept all the same. `write` is
 * called then, unless it was taken back; what it makes others add is written after it.
 */
export function keepAtExit(write: () => void): void {
  unwritten.add(write)
  if (isWatchingExit) return
  isWatchingExit = true
  process.once('exit', () => {
    for (const write of unwritten) {
      unwritten.delete(write)
      write()
    }
  })
}

export function takeBack(write: () => void): void {
  unwritten.delete(write)
}

/** Complains at most once a minute, however often it is called. */
export function createComplaint(complain: (message: string) => void, now: () => number): (message: string) => void {
  let silentUntil = 0
  return (message) => {
    if (now() < silentUntil) return
    silentUntil = now() + 60_000
    complain(message)
  }
}

function behind(chunks: readonly Buffer[], written: number): Buffer[] {
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(Math.max(0, written))
    written -= chunk.length
    return rest.length === 0 ? [] : [rest]
  })
}

/**
 * Files are made 0600 in a 0700 folder.
 * @param before is called before a file is written, for rotation
 */
export function createAppender(complain: (message: string) => void, before?: (file: string) => Promise<void>): Appender {
  const waiting = new Map<string, Waiting>()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let checked = ''

  /** Returns what did not fit: a full disk may take half a line, and no line may be doubled. */
  async function write(file: string, chunks: readonly Buffer[]): Promise<Buffer[]> {
    await before?.(file)
    const handle = await open(file, 'a+', 0o600).catch(() => {
      makeFolder(dirname(file))
      return open(file, 'a+', 0o600)
    })
    try {
      const { size } = await handle.stat()
      // What a power cut left of a line must not swallow the next one.
      const isCut = file !== checked && size > 0 && (await handle.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] !== 10
      if (isCut) await handle.write('\n')
      checked = file
      const { bytesWritten } = await handle.writev(chunks)
      return behind(chunks, bytesWritten)
    } finally {
      await handle.close()
    }
  }

  /** Once through: under load more has come by then, and waits for its own batch. */
  async function drain(): Promise<void> {
    for (const [file, lines] of waiting) {
      const chunks = lines.take()
      try {
        const rest = await write(file, chunks)
        lines.putBack(rest)
        if (rest.length === 0) reuse(chunks)
      } catch (error) {
        lines.putBack(chunks)
        const { code, message } = error as NodeJS.ErrnoException
        complain(`${file} cannot be written (${code ?? message}); make room or check who owns it`)
      }
      if (lines.size === 0) waiting.delete(file)
      else schedule()
    }
  }

  function writeRest(): void {
    try {
      for (const [file, lines] of waiting) {
        makeFolder(dirname(file))
        appendFileSync(file, Buffer.concat(lines.take()), { mode: 0o600 })
      }
    } catch { /* nobody is left to hear it */ }
  }

  function schedule(): void {
    if (timer !== undefined) return
    timer = setTimeout(() => void flush(), BATCH_MS).unref()
    keepAtExit(writeRest)
  }

  function flush(): Promise<void> {
    stop()
    return running ??= drain().finally(() => {
      running = undefined
    })
  }

  function stop(): void {
    clearTimeout(timer)
    timer = undefined
    takeBack(writeRest)
  }

  return {
    add(file, line) {
      let lines = waiting.get(file)
      if (lines === undefined) waiting.set(file, lines = createWaiting(MAX_WAITING))
      lines.add(line)
      schedule()
    },
    async flush() {
      await running
      await flush()
      stop()
    },
  }
}
