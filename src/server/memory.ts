/**
 * HTTP without a socket: an in-memory connection to a node:http server, and `fetch` on top of it. Nothing listens.
 * @module
 */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import { Duplex, Readable, pipeline } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'

/** The shim lets pass what carries this mark. */
const OWN = { dario: true }

/** Gives one end of a new connection to the server and returns the other, for `http.request({ createConnection })`. */
export function createMemoryConnection(server: Server): Duplex {
  const client: Duplex = createEnd(() => remote)
  const remote: Duplex = createEnd(() => client)
  // What runs in our own process is on this machine: the guard asks the socket.
  Object.assign(remote, { remoteAddress: '127.0.0.1', inMemory: true })
  server.emit('connection', remote)
  return client
}

/** `fetch` for one server, streaming both ways; ends with `request.signal`. The URL's host is ignored. */
export function createFetch(server: Server): (request: Request) => Promise<Response> {
  return (request) => new Promise((resolve, reject) => {
    const { signal } = request
    if (signal.aborted) return reject(signal.reason)
    const headers = new Headers(request.headers)
    headers.set('host', 'localhost')
    headers.delete('accept-encoding') // whoever calls fetch expects decoded bytes, so none are to be encoded
    const { pathname, search } = new URL(request.url)
    const call = httpRequest({
      ...OWN, createConnection: () => createMemoryConnection(server),
      method: request.method, path: pathname + search, headers: Object.fromEntries(headers), signal,
    })
    const fail = (error: unknown): void => reject(signal.aborted ? signal.reason : error)
    call.on('error', fail)
    call.on('response', (message) => resolve(toResponse(request, message)))
    if (request.body === null) return void call.end()
    // Told before the pipeline ends the call, which would only say "socket hang up". Too late once there is a response.
    const body = Readable.fromWeb(request.body as WebStream).once('error', fail)
    pipeline(body, call, () => {})
  })
}

function toResponse(request: Request, message: IncomingMessage): Response {
  const headers = new Headers()
  for (let index = 0; index < message.rawHeaders.length; index += 2) {
    headers.append(message.rawHeaders[index] ?? '', message.rawHeaders[index + 1] ?? '')
  }
  const status = message.statusCode ?? 500
  const bodyless = request.method === 'HEAD' || status === 204 || status === 205 || status === 304
  if (bodyless) message.resume()
  return new Response(bodyless ? null : toWebStream(message, request.signal), { status, headers })
}

/** By hand: `Readable.toWeb` may enqueue after a cancel on Node 20, which throws outside of every try. */
function toWebStream(message: IncomingMessage, signal: AbortSignal): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Buffer> = message[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    // At once: the message goes on with what came before.
    start: (controller) => signal.addEventListener('abort', () => controller.error(signal.reason)),
    async pull(controller) {
      const { value, done } = await chunks.next()
      if (done === true) controller.close()
      else controller.enqueue(new Uint8Array(value))
    },
    cancel: () => void message.destroy(),
  })
}

/** The peer's `read` calls back the write that it could not take: that is all the backpressure there is. */
function createEnd(peer: () => Duplex): Duplex {
  const end: Duplex = new Duplex({
    allowHalfOpen: true, // node:http reads the request's end before it has answered
    read: () => void peer().emit('taken'),
    write(chunk, _encoding, done) {
      if (peer().destroyed || peer().push(chunk)) done()
      else end.once('taken', done)
    },
    final(done) {
      if (!peer().destroyed) peer().push(null)
      done()
    },
    destroy(error, done) {
      end.emit('taken')
      // After a clean end the peer may still be reading what we wrote; a cut connection is cut for both.
      if (!end.writableFinished) process.nextTick(() => peer().destroy())
      peer().emit('taken')
      done(error)
    },
  })
  return end
}
