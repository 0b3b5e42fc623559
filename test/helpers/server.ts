/**
 * dario's own server in front of an exchange that the test writes, and raw sockets to talk to it.
 * @module
 */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { isLoopbackHost } from '../../src/config/parse.ts'
import type { DarioError } from '../../src/errors.ts'
import type { Incoming } from '../../src/exchange/job.ts'
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { createGuard } from '../../src/server/guard.ts'
import type { GuardSettings } from '../../src/server/guard.ts'
import { createListener } from '../../src/server/listener.ts'
import type { Listener } from '../../src/server/listener.ts'
import { encodeModels } from '../../src/server/models.ts'
import { createHandler } from '../../src/server/routes.ts'
import type { HandlerOptions } from '../../src/server/routes.ts'
import { withDeadline } from './deadline.ts'

export interface TestServer {
  port: number
  url: string
  listener: Listener
  /** Every request that reached the exchange. */
  seen: Incoming[]
  /** Lines that the server logged. */
  lines: string[]
  /** Errors that `endAll` was called with. */
  ended: DarioError[]
}

export interface TestServerOptions {
  answer?: (incoming: Incoming, response: ServerResponse) => void | Promise<void>
  endAll?: (error: DarioError) => void
  guard?: Partial<GuardSettings> & { boundToLoopback?: boolean }
  handler?: Partial<HandlerOptions>
  maxBodyBytes?: number
  headersTimeout?: number
  host?: string
  port?: number
}

/** Names the dialect in the body, so that tests see whose words an error uses. */
function encodeError(dialect: DialectName, error: DarioError, requestId: string): { status: number; body: JsonObject } {
  return { status: error.status, body: { dialect, code: error.code, message: error.message, requestId } }
}

export function answerBack(incoming: Incoming, response: ServerResponse): void {
  const { operation, dialect, method, path, accessKey } = incoming
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ operation, dialect, method, path, body: incoming.body.toString(), key: accessKey?.name }))
}

/** Not yet listening. */
export function makeServer(options: TestServerOptions = {}): Omit<TestServer, 'port' | 'url'> {
  const seen: Incoming[] = []
  const lines: string[] = []
  const ended: DarioError[] = []
  const { boundToLoopback = true, ...given } = options.guard ?? {}
  const settings = { allowedHosts: [], allowedOrigins: [], accessKeys: [], ...given }
  let count = 0
  const handler = createHandler({
    exchange: {
      async handle(incoming, response) {
        seen.push(incoming)
        await (options.answer ?? answerBack)(incoming, response)
      },
    },
    guard: createGuard(() => settings, boundToLoopback),
    settings: () => ({ maxBodyBytes: options.maxBodyBytes ?? 1_048_576 }),
    models: async (query) => encodeModels([], query),
    health: (authorised) => ({ status: 'ok', name: 'dario', version: '1.2.3', ...(authorised && { backends: 2 }) }),
    dialectOf: (name) => ({ encodeError: (error, requestId) => encodeError(name, error, requestId) }),
    pages: { '/': { serve: (_request, response) => void response.end('page') } },
    newId: (prefix) => `${prefix}${++count}`,
    now: () => 1_000,
    log: (line) => lines.push(line),
    ...options.handler,
  })
  const exchange = {
    endAll(error: DarioError): void {
      ended.push(error)
      options.endAll?.(error)
    },
  }
  const { host, port = 0, headersTimeout } = options
  const listener = createListener({ handler, exchange, host, port, isGuarded: isLoopbackHost(host) || settings.accessKeys.length > 0, headersTimeout })
  return { listener, seen, lines, ended }
}

export async function startServer(context: TestContext, options: TestServerOptions = {}): Promise<TestServer> {
  const made = makeServer(options)
  context.after(() => withDeadline(made.listener.close(0), 20_000, 'the listener\'s close'))
  const { port } = await made.listener.listen()
  return { ...made, port, url: `http://127.0.0.1:${port}` }
}

/** Sends bytes and returns all that comes back until the server closes the connection. */
export async function sendRaw(port: number, ...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {}) // a reset after the answer is the server's right
  for (const piece of pieces) socket.write(piece)
  await withDeadline(once(socket, 'close'), 5_000, 'the server closes the connection')
  return Buffer.concat(chunks).toString('latin1')
}

/** Status of each answer on the connection, in order. */
export function readStatuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1])).filter((status) => status !== 100)
}
