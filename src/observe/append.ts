/**
 * Lines to files in batches, off the request path: what is lost by a crash is less than a second old. A disk that is
 * full or read-only costs one complaint per minute and at worst the oldest lines, never a request.
 * @module
 */
import { appendFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../config/folder.ts'
import { createWaiting, reuse } from './waiting.ts'
import type { Waiting } from './waiting.ts'

export interface Appender {
  /** Whole lines, each with its line feed; bytes are copied. */
  add(file: string, lines: string | Buffer): void
  /** Resolves when what was added is written, or has failed to be. */
  flush(): Promise<void>
}

const BATCH_MS = 500
const MAX_WAITING = 8_388_608 // bytes: what a disk that is full for a while may hold back

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
    stop() // what is added after it is scheduled anew
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
    add(file, lines) {
      let all = waiting.get(file)
      if (all === undefined) waiting.set(file, all = createWaiting(MAX_WAITING))
      all.add(lines)
      schedule()
    },
    async flush() {
      await running
      await flush()
      stop()
    },
  }
}
