/**
 * The client's side of one answer: its head, its chunks, keep-alives during silence, and an honest end.
 * @module
 */
import { ServerResponse } from 'node:http'
import { DarioError } from '../errors.ts'
import type { OutgoingHttpHeaders } from 'node:http'
import type { RelayDialect } from '../dialects/dialect.ts'
import type { RequestRecord } from '../hub/record.ts'

export interface ReplyOptions {
  dialect: RelayDialect
  /** What the client gets is counted as it goes: who watches estimates by it how fast a stream is. */
  record: Pick<RequestRecord, 'id' | 'stream' | 'responseBytes'>
  /** Milliseconds of silence before a keep-alive; the first also waits this long, so that real errors keep their status. */
  keepAlive: number
  /** Milliseconds without progress after which a client that stopped reading is dropped (pitfall S28). */
  stalledReader: number
}

export interface Reply {
  headSent: boolean
  head(status: number, headers: OutgoingHttpHeaders): void
  /** A promise when the client cannot take more now: it resolves when it can, or has left. */
  write(chunk: Buffer | string): Promise<void> | undefined
  end(chunk?: Buffer | string): void
  /** In the client's dialect: a status before the head, an event inside a stream, a cut connection inside JSON. */
  fail(error: DarioError, headers: OutgoingHttpHeaders): void
  /** Stops timers; the reply is over. */
  close(): void
}

export const UNBUFFERED: OutgoingHttpHeaders = { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' }
export const SSE_HEADERS: OutgoingHttpHeaders = { 'content-type': 'text/event-stream; charset=utf-8', ...UNBUFFERED }

/** Copying a chunk into its frame pays up to here. */
const SMALL_CHUNK = 16_384
const CR = 13, LF = 10
/** What stands in its place (a capture, an embedder's compression) wants the bytes without their frame. */
const WRITE = ServerResponse.prototype.write

export function createReply(response: ServerResponse, options: ReplyOptions): Reply {
  const { dialect, record } = options
  const { id, stream } = record
  let active = performance.now()
  let waiting = false
  const timer = stream ? setInterval(beat, options.keepAlive / 3).unref() : undefined

  function beat(): void {
    const silent = performance.now() - active
    if (waiting && silent > options.stalledReader) response.destroy()
    if (waiting || silent < options.keepAlive) return // only whole events are ever written, so this stands between two
    reply.head(200, { ...SSE_HEADERS, 'dario-request-id': id })
    reply.write(dialect.keepAlive)
  }

  function drained(): Promise<void> {
    waiting = true
    const stalled = timer === undefined ? setTimeout(() => response.destroy(), options.stalledReader) : undefined
    return new Promise((resolve) => {
      const done = (): void => {
        waiting = false
        active = performance.now()
        clearTimeout(stalled)
        response.off('drain', done).off('close', done)
        resolve()
      }
      response.on('drain', done).on('close', done)
    })
  }

  const reply: Reply = {
    headSent: false,
    head(status, headers) {
      // A keep-alive may have opened the stream already; then the status is 200 and stays so (pitfall S20).
      if (reply.headSent || response.destroyed) return
      reply.headSent = true
      response.writeHead(status, headers)
    },
    write(chunk) {
      if (response.destroyed || response.writableEnded) return // the client left: its close event ends the upstream
      record.responseBytes += chunk.length
      active = performance.now()
      const isPlain = response.chunkedEncoding && response.write === WRITE
      if (!isPlain || chunk.length === 0 || chunk.length > SMALL_CHUNK) return response.write(chunk) ? undefined : drained()
      // Node hands a chunk, its length and two line ends to the system in four pieces; one costs a quarter less.
      response.chunkedEncoding = false
      const hasRoom = response.write(toChunk(chunk))
      response.chunkedEncoding = true
      return hasRoom ? undefined : drained()
    },
    end(chunk) {
      if (chunk !== undefined) record.responseBytes += chunk.length
      if (!response.destroyed && !response.writableEnded) response.end(chunk)
    },
    fail(error, headers) {
      if (response.destroyed || response.writableEnded) return
      if (!reply.headSent) {
        const { status, body } = dialect.encodeError(error, id)
        const text = JSON.stringify(body)
        reply.head(status, { ...headers, ...retryAfter(error), 'content-type': 'application/json' })
        reply.end(text)
      } else if (stream) {
        reply.end(dialect.encodeStreamError(error, id))
      } else {
        response.destroy() // half a JSON body must not look whole
      }
    },
    close() {
      clearInterval(timer)
    },
  }
  return reply
}

/** https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
function toChunk(data: Buffer | string): Buffer | string {
  const size = Buffer.byteLength(data).toString(16)
  if (typeof data === 'string') return `${size}\r\n${data}\r\n`
  const start = size.length + 2
  const chunk = Buffer.allocUnsafe(start + data.length + 2)
  for (let at = 0; at < size.length; at++) chunk[at] = size.charCodeAt(at) // sooner than a call into native code
  chunk[start - 2] = chunk[chunk.length - 2] = CR
  chunk[start - 1] = chunk[chunk.length - 1] = LF
  chunk.set(data, start)
  return chunk
}

export function retryAfter(error: DarioError): OutgoingHttpHeaders {
  return error.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfterMs / 1000)) }
}
