/**
 * `--capture DIR`, for bug reports: what came and went on both sides of dario, one folder per request, redacted and cut
 * at 1 MiB each. Prompts and answers are in there: never on by default.
 * @module
 */
import { writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Backend, Body, Call, Signal } from '../backends/backend.ts'
import { makeFolder } from '../config/folder.ts'
import { createComplaint } from './append.ts'
import { renderHeaders } from './redact.ts'
import type { Redact } from './redact.ts'

export interface CaptureOptions {
  folder: string
  redact: Redact
  now: () => number
  complain: (message: string) => void
}

export interface Capture {
  /** Takes down the request, and the answer as it is written to `response`. */
  client(incoming: { id: string; method: string; path: string; headers: IncomingHttpHeaders; body: Buffer }, response: ServerResponse): void
  /** The same backend; what goes through it on behalf of a client is taken down. */
  backend(backend: Backend): Backend
  /** Resolves when everything is written. */
  close(): Promise<void>
}

const MAX_BODY = 1_048_576 // bytes
const LONGEST_KEY = 4096 // characters

export function createCapture({ folder, redact, now, complain }: CaptureOptions): Capture {
  const report = createComplaint(complain, now)
  /** Of running requests: their folder, and how many upstream attempts there were. */
  const open = new Map<string, { folder: string; attempts: number }>()
  let saved: Promise<unknown> | undefined

  function save(place: string, name: string, head: string, body: string): void {
    saved = Promise.all([saved, write(place, name, `${head}\n${body}`)])
  }

  async function write(place: string, name: string, text: string): Promise<void> {
    try {
      makeFolder(place)
      await writeFile(join(place, name), redact(text), { mode: 0o600 })
    } catch (error) {
      report(`${place} cannot be written (${(error as NodeJS.ErrnoException).code}); the capture has gaps`)
    }
  }

  async function send(backend: Backend, call: Call, ...rest: [key: Parameters<Backend['send']>[1], signal: Signal]): ReturnType<Backend['send']> {
    const request = call.id === undefined ? undefined : open.get(call.id)
    if (request === undefined) return await backend.send(call, ...rest)
    const { folder: place } = request
    const name = `2-upstream-${++request.attempts}`
    save(place, `${name}-request.txt`, `${call.method} ${call.path} to ${backend.id}\n${renderHeaders(call.headers)}`, toText(Buffer.from(call.body ?? '')))
    const upstream = await backend.send(call, ...rest)
    const taken = createTaken()
    let keep = (): void => {
      keep = () => {}
      save(place, `${name}-answer.txt`, `${upstream.status}\n${renderHeaders(upstream.headers)}`, taken.text(upstream.headers['content-encoding']))
    }
    const body: Body = {
      ...upstream.body,
      read(reader) {
        upstream.body.read({
          data(bytes) {
            taken.take(bytes)
            reader.data(bytes)
          },
          end() {
            keep()
            reader.end()
          },
          fail(error) {
            keep()
            reader.fail(error)
          },
        })
      },
      destroy() {
        keep()
        upstream.body.destroy()
      },
    }
    return { ...upstream, body }
  }

  return {
    client({ id, method, path, headers: asked, body }, response) {
      const place = join(folder, `${new Date(now()).toISOString().replaceAll(/[:.]/g, '-')} ${id}`)
      open.set(id, { folder: place, attempts: 0 })
      save(place, '1-client-request.txt', `${method} ${path}\n${renderHeaders(asked)}`, toText(body))
      const taken = createTaken()
      for (const name of ['write', 'end'] as const) {
        const original = response[name] as (...args: unknown[]) => unknown
        response[name] = ((chunk: unknown, ...rest: unknown[]) => {
          if (typeof chunk === 'string' || chunk instanceof Uint8Array) taken.take(chunk)
          return original.call(response, chunk, ...rest)
        }) as never
      }
      const writeHead = response.writeHead.bind(response)
      let headers: OutgoingHttpHeaders = {} // `getHeaders` knows only what was set one by one
      response.writeHead = ((status: number, all: OutgoingHttpHeaders = {}) => writeHead(status, headers = all)) as never
      response.once('close', () => {
        open.delete(id)
        const whole = response.writableFinished ? '' : ' (cut: the connection closed before its end)'
        save(place, '3-client-answer.txt', `${response.statusCode}${whole}\n${renderHeaders({ ...response.getHeaders(), ...headers })}`,
          taken.text(headers['content-encoding']))
      })
    },
    backend: (backend) => ({ ...backend, send: (call, key, signal) => send(backend, call, key, signal) }),
    close: async () => void await saved,
  }
}

function createTaken() {
  const kept: Uint8Array[] = []
  let size = 0
  return {
    take(chunk: Uint8Array | string): void {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      if (size < MAX_BODY) kept.push(Uint8Array.from(bytes.subarray(0, MAX_BODY - size)))
      size += bytes.length
    },
    text: (encoding: unknown): string => (encoding === undefined ? toText(Buffer.concat(kept), size) : `[${size} bytes, ${String(encoding)}]`),
  }
}

function toText(body: Buffer, size: number = body.length): string {
  const text = body.toString('utf8', 0, MAX_BODY)
  // A key that the cut goes through would not be known as one.
  return size > MAX_BODY ? `${text.slice(0, -LONGEST_KEY)}\n[cut: ${size} bytes in all]` : text
}
