/**
 * Lines to files in batches, off the request path: what is lost by a crash is less than a second old. A disk that is
 * full or read-only costs one complaint per minute and at worst the oldest lines, never a request.
 * @module
 */
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface Appender {
  /** `line` ends with a line feed. */
  add(file: string, line: string): void
  /** Resolves when what was added is written, or has failed to be. */
  flush(): Promise<void>
}

const BATCH_MS = 500
const MAX_WAITING = 20_000 // lines, about 8 MB: what a disk that is full for a while may hold back

/** Complains at most once a minute, however often it is called. */
export function createComplaint(complain: (message: string) => void, now: () => number): (message: string) => void {
  let silentUntil = 0
  return (message) => {
    if (now() < silentUntil) return
    silentUntil = now() + 60_000
    complain(message)
  }
}

/**
 * Files are made 0600 in a 0700 folder.
 * @param before is called before a file is written, for rotation
 */
export function createAppender(complain: (message: string) => void, before?: (file: string) => Promise<void>): Appender {
  let waiting: { file: string; bytes: Buffer }[] = []
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  let last = ''

  async function write(file: string, bytes: Buffer): Promise<number> {
    await before?.(file)
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const handle = await open(file, 'a+', 0o600)
    try {
      const { size } = await handle.stat()
      // What a power cut left of a line must not swallow the next one.
      const isCut = file !== last && size > 0 && (await handle.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] !== 10
      if (isCut) await handle.write('\n')
      last = file
      return (await handle.write(bytes)).bytesWritten
    } finally {
      await handle.close()
    }
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const taken = waiting
      waiting = []
      const file = taken[0]!.file
      const batch = taken.filter((line) => line.file === file)
      const bytes = Buffer.concat(batch.map((line) => line.bytes))
      let written = 0
      let failure: NodeJS.ErrnoException | undefined
      try {
        written = await write(file, bytes)
      } catch (error) {
        failure = error as NodeJS.ErrnoException
      }
      // A full disk may take half a line: the other half follows later, so that no line is doubled.
      const rest = failure !== undefined ? batch : written === bytes.length ? [] : [{ file, bytes: bytes.subarray(written) }]
      const others = taken.filter((line) => line.file !== file)
      waiting = [...rest, ...others, ...waiting].slice(-MAX_WAITING)
      if (failure === undefined) continue
      complain(`${file} cannot be written (${failure.code ?? failure.message}); make room or check who owns it`)
      schedule()
      timer?.unref() // a program that wants to end need not wait for a disk
      return
    }
  }

  function schedule(): void {
    timer ??= setTimeout(() => void flush(), BATCH_MS)
  }

  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    running ??= drain().finally(() => {
      running = undefined
    })
    return running
  }

  return {
    add(file, line) {
      waiting.push({ file, bytes: Buffer.from(line) })
      schedule()
    },
    async flush() {
      await flush()
      clearTimeout(timer)
      timer = undefined
    },
  }
}
