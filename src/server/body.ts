/**
 * Request bodies: read once into one Buffer, under a limit that also holds for what compressed bytes expand to.
 * https://www.rfc-editor.org/rfc/rfc9110#name-content-encoding
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import type { ZlibOptions } from 'node:zlib'
import { DarioError } from '../errors.ts'
import { createDeadlines } from '../hub/deadlines.ts'

type Decompress = (bytes: Buffer, options: ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void

/** Each layer may expand a thousandfold; nobody honest sends more than one. */
const MAX_LAYERS = 3
/** An answer that comes before the whole request: what is still on its way is read and dropped up to these. */
const DRAIN_BYTES = 67_108_864
const DRAIN_MS = 5_000

/** Node has zstd from 22.15 on. */
const ENCODINGS: readonly string[] = ['gzip', 'x-gzip', 'deflate', 'br', ...(process.versions['zstd'] === undefined ? [] : ['zstd'])]

function chooseDecompress(zlib: typeof import('node:zlib'), name: string, bytes: Buffer): Decompress {
  switch (name) {
    // "deflate" means zlib's wrapping, and some clients send it bare: the wrapping's first byte tells.
    case 'deflate': return ((bytes[0] ?? 0) & 0x0f) === 8 ? zlib.inflate : zlib.inflateRaw
    case 'br': return zlib.brotliDecompress
    case 'zstd': return ('zstdDecompress' in zlib ? zlib.zstdDecompress : undefined) as typeof zlib.gunzip // typed from Node 22 on
    default: return zlib.gunzip
  }
}

const patience = createDeadlines(250)
let expanding: Promise<unknown> = Promise.resolve()

/**
 * Reads and decompresses the body; an empty Buffer when there is none.
 * @param stallMs A body of which no byte comes for so long is given up; default 30,000.
 * @throws DarioError `request_too_large`, `unsupported_media_type`, `invalid_request`, `timeout`, `client_closed`,
 * `internal` when somebody else has read it.
 */
export async function readBody(request: IncomingMessage, limitBytes: number, stallMs = 30_000): Promise<Buffer> {
  if (!hasBody(request)) return Buffer.alloc(0)
  if (request.readableEnded) {
    throw new DarioError('internal', 'The request body was read before dario saw it; put `proxy.handle` in front of what parses bodies')
  }
  const layers = readLayers(request.headers['content-encoding'])
  if (Number(request.headers['content-length']) > limitBytes) throw tooLarge(limitBytes)
  let body = await collect(request, limitBytes, stallMs)
  for (const name of layers) {
    const packed = body
    // One at a time: fifty bombs at once would each grow to the limit before they are refused, to 3 GB together.
    const expanded = expanding.then(() => expand(packed, name, limitBytes))
    expanding = expanded.then(() => {}, () => {}) // not the body itself: it would stay until the next one comes
    body = await expanded
  }
  return body
}

/** Answers with JSON, even before the whole request: closing on unread bytes would lose the answer to a reset. */
export function respond(request: IncomingMessage, response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  const unread = hasBody(request) && !request.complete
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(unread && { connection: 'close' }),
  })
  if (!unread) return void response.end(text)
  response.write(text)
  let room = DRAIN_BYTES
  const end = (): void => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, DRAIN_MS)
  request.on('data', (chunk: Buffer) => {
    room -= chunk.length
    if (room < 0) end()
  }).on('end', end).on('close', end).resume()
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function collect(request: IncomingMessage, limitBytes: number, stallMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    let settled = false
    const deadline = {
      until: performance.now() + stallMs,
      late: () => settle(new DarioError('timeout', `No byte of the request body came for ${stallMs} ms; send the request again`)),
    }
    patience.add(deadline)
    function settle(error: DarioError | undefined): void {
      if (settled) return
      settled = true // the listeners stay: taking them off costs more than late calls
      patience.delete(deadline)
      if (error !== undefined) {
        request.pause()
        return reject(error)
      }
      const pieces = chunks.splice(0) // the listeners would keep them as long as the request lives
      resolve(pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, size))
    }
    function onData(chunk: Buffer): void {
      if (settled) return
      size += chunk.length
      if (size > limitBytes) return settle(tooLarge(limitBytes))
      chunks.push(chunk)
      deadline.until = performance.now() + stallMs
    }
    request.on('data', onData).on('end', () => settle(undefined)).on('close', () => {
      if (!settled) settle(new DarioError('client_closed', 'The client left before its request was complete'))
    })
  })
}

/** In the order in which to take them off. */
function readLayers(header: string | undefined): string[] {
  if (header === undefined) return []
  const names = header.toLowerCase().split(',').map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity')
  if (names.every((name) => ENCODINGS.includes(name)) && names.length <= MAX_LAYERS) return names.reverse()
  throw new DarioError('unsupported_media_type',
    `dario reads request bodies in these encodings: ${ENCODINGS.join(', ')}; send one of them, or none`)
}

async function expand(body: Buffer, name: string, limitBytes: number): Promise<Buffer> {
  const zlib = await import('node:zlib')
  try {
    return await promisify<Buffer, ZlibOptions, Buffer>(chooseDecompress(zlib, name, body))(body, { maxOutputLength: limitBytes })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limitBytes)
    if (body[0] === 0x7b) return body // a plain `{` under a wrong label: such clients exist (pitfall X3)
    const message = `The request body is not valid ${name}; send it whole, or without content-encoding`
    throw new DarioError('invalid_request', message, { cause })
  }
}

function tooLarge(limitBytes: number): DarioError {
  return new DarioError('request_too_large',
    `The request body is over ${limitBytes} bytes; shorten it, or raise "maxBodyBytes" in the configuration`)
}
