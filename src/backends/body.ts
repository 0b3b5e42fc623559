/**
 * Reading an upstream's body instead of relaying it: decompressed, bounded, and an error page as one sentence.
 * https://www.rfc-editor.org/rfc/rfc9110#section-8.4
 * @module
 */
import { pipeline } from 'node:stream'
import type { Transform } from 'node:stream'
import { DarioError } from '../errors.ts'
import type { Body, Upstream } from './backend.ts'
import { fromReadable, toReadable } from './source.ts'

type Zlib = typeof import('node:zlib')

/** Layers of compression; each costs its own memory, and a header has room for thousands (CVE-2022-32206). */
const MAX_LAYERS = 5

function createDecoder(zlib: Zlib & { createZstdDecompress?: () => Transform }, encoding: string): Transform | undefined {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip': return zlib.createGunzip()
    case 'deflate': return zlib.createInflate()
    case 'br': return zlib.createBrotliDecompress()
    case 'zstd': return zlib.createZstdDecompress?.() // newer than Node 20
    default: return undefined
  }
}

/**
 * The body as plain bytes; the body itself when it is not compressed. dario asks for `identity`, but not every server
 * listens. Encodings are undone in reverse order of their list (pitfall X2). The reader sets the limit on its size.
 * @throws DarioError `upstream_protocol` for an encoding that this Node cannot undo, or too many.
 */
export function decodeBody({ headers, body }: Upstream): Body | Promise<Body> {
  const encodings = (headers['content-encoding'] ?? '').toLowerCase().split(',').map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity').reverse()
  return encodings.length === 0 ? body : unpack(body, encodings)
}

async function unpack(body: Body, encodings: readonly string[]): Promise<Body> {
  function refuse(how: string): never {
    body.destroy()
    throw new DarioError('upstream_protocol', `the upstream compressed its answer ${how}`)
  }
  if (encodings.length > MAX_LAYERS) refuse(`${encodings.length} times; ask its operator why`)
  const zlib = await import('node:zlib')
  const decoders = encodings.map((name) => {
    const decoder = createDecoder(zlib, name) ?? refuse('in a way that this version of Node cannot read')
    return explainingGarbage(decoder)
  })
  const last = decoders.at(-1)!
  pipeline([toReadable(body), ...decoders], () => {}) // errors and ends go through; the last stream shows them to its reader
  return fromReadable(last)
}

function explainingGarbage(decoder: Transform): Transform {
  const destroy = decoder.destroy
  decoder.destroy = (cause) => {
    const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? ''
    const broken = code.startsWith('Z_') || code.startsWith('ERR_')
    const message = `the upstream's compressed answer is damaged (${code})`
    return destroy.call(decoder, broken ? new DarioError('upstream_protocol', message, { cause }) : cause)
  }
  return decoder
}

export async function readText(upstream: Upstream, limit?: number): Promise<string> {
  return (await readBytes(upstream, limit)).toString()
}

/**
 * The whole body, at most `limit` bytes of it; what is longer is cut and the connection closed.
 * @throws DarioError when the upstream breaks; the signal's reason when the request was aborted.
 */
export async function readBytes(upstream: Upstream, limit = 8_388_608): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of toReadable(await decodeBody(upstream)) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > limit) break
  }
  return Buffer.concat(chunks).subarray(0, limit)
}

/** An error body that is not JSON as one short sentence: nobody wants to read a page of markup (pitfall E8). */
export function toErrorSentence(status: number, text: string): string {
  const page = /^\s*</.test(text)
  const found = page ? /<title[^<>]*>([^<]*)</i.exec(text)?.[1] ?? '' : text
  const words = found.replace(/[\s\p{Cc}]+/gu, ' ').trim().slice(0, 200)
  const what = page ? 'a page of HTML instead of JSON' : 'no JSON'
  return `the upstream answered ${status} with ${what}${words === '' ? '' : `: ${words}`}`
}
