/**
 * The client's tools as one MCP server over loopback HTTP, offered to one run each under a random path and bearer.
 * A `tools/call` is parked until the client brings its result; its time-to-live is that of the run which holds it.
 * https://modelcontextprotocol.io/specification/2025-11-25
 * @module
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isObject, parseObject, toFields } from '../hub/json.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import type { PlanTool } from './request.ts'

export interface Door {
  url: string
  bearer: string
  /** Answers the parked call, now or, if the program still holds it back, when it comes. */
  deliver(id: string, result: JsonObject): void
  close(): void
}

export interface Bridge {
  /** One after the other, as runs are started. */
  open(tools: readonly PlanTool[]): Promise<Door>
  close(): Promise<void>
}

interface Parked { result: Promise<JsonObject>; give(result: JsonObject): void }
interface Session { tools: readonly PlanTool[]; calls: Map<string, Parked> }

/** Characters; over the first the program saves a result to a file, over the second it cuts an error in the middle. */
const MAX_RESULT = 490_000
const MAX_ERROR = 10_000
/** Bytes of one request of the program: arguments that a model wrote. */
const MAX_BODY = 32 * 1024 * 1024

export function createBridge(version: string): Bridge {
  /** By digest: how long a wrong guess takes to miss says nothing of the secrets. */
  const sessions = new Map<string, Session>()
  let server: Server | undefined
  const listen = async (): Promise<Server> => {
    const created = createServer((request, response) => {
      const session = sessions.get(digest(request.url, request.headers.authorization))
      if (session === undefined) response.writeHead(404).end()
      else if (request.method !== 'POST') response.writeHead(405, { allow: 'POST' }).end() // we push nothing
      // Rejects where the request is cut off or an answer is nested too deep to be written.
      else answer(session, version, request, response).catch(() => response.writeHead(400).end())
    })
    created.requestTimeout = 0
    created.keepAliveTimeout = 0 // a call that met our closing of an idle connection would fail; they end with the run
    created.on('error', () => {}) // out of file descriptors: that call is lost, dario goes on
    created.on('connection', (socket) => socket.unref()) // whether this process lives on is the run's to say
    created.listen(0, '127.0.0.1')
    await once(created, 'listening')
    return created.unref()
  }
  return {
    async open(tools) {
      server ??= await listen() // when that fails the next run tries again
      const { port } = server.address() as AddressInfo
      const [path, bearer] = [`/${randomBytes(24).toString('base64url')}`, randomBytes(24).toString('base64url')]
      const session: Session = { tools, calls: new Map() }
      const name = digest(path, `Bearer ${bearer}`)
      sessions.set(name, session)
      return {
        url: `http://127.0.0.1:${port}${path}`,
        bearer,
        deliver: (id, result) => callOf(session, id).give(result),
        close: () => { sessions.delete(name) },
      }
    },
    async close() {
      sessions.clear()
      if (server === undefined) return
      server.closeAllConnections()
      await new Promise((resolve) => server?.close(resolve))
    },
  }
}

function digest(path: string | undefined, authorization: string | undefined): string {
  return createHash('sha256').update(`${path}\n${authorization}`).digest('base64url')
}

async function answer(
  session: Session, version: string, request: IncomingMessage, response: ServerResponse,
): Promise<void> {
  const message = await readMessage(request)
  if (message === undefined) return void response.writeHead(400).end()
  if (message['id'] === undefined) return void response.writeHead(202).end() // a notification
  const send = (body: JsonObject): void => {
    if (response.destroyed) return
    const text = JSON.stringify({ jsonrpc: '2.0', id: message['id'], ...body })
    response.writeHead(200, { 'content-type': 'application/json' }).end(text)
  }
  const params = toFields(message['params'])
  switch (message['method']) {
    case 'initialize': return send({ result: {
      protocolVersion: params['protocolVersion'] ?? '2025-11-25',
      capabilities: { tools: {} },
      serverInfo: { name: 'dario', version },
    } })
    case 'ping': return send({ result: {} })
    case 'tools/list': return send({ result: { tools: session.tools.map(toMcpTool) } })
    case 'tools/call': {
      const id = toFields(params['_meta'])['claudecode/toolUseId']
      if (typeof id !== 'string') return send({ error: { code: -32602, message: 'the call has no tool use id' } })
      const result = await callOf(session, id).result
      if (!response.destroyed) session.calls.delete(id) // else it is asked again
      return send({ result })
    }
    default: return send({ error: { code: -32601, message: 'method not found' } })
  }
}

/** The call or its result: either may come first. */
function callOf({ calls }: Session, id: string): Parked {
  const known = calls.get(id)
  if (known !== undefined) return known
  let give = (_result: JsonObject): void => {}
  const result = new Promise<JsonObject>((resolve) => { give = resolve })
  const call = { result, give }
  calls.set(id, call)
  return call
}

async function readMessage(request: IncomingMessage): Promise<JsonObject | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if ((size += chunk.length) > MAX_BODY) return undefined
    chunks.push(chunk)
  }
  return parseObject(Buffer.concat(chunks).toString())
}

function toMcpTool(tool: PlanTool): JsonObject {
  return {
    name: tool.sent,
    description: tool.description,
    inputSchema: tool.schema,
    annotations: { readOnlyHint: true }, // with it, parallel calls come at once
    _meta: { 'anthropic/maxResultSizeChars': 500_000 },
  }
}

/** A client's result for the bridge; undefined when only a transcript carries it whole. */
export function encodeResult(block: JsonObject): JsonObject | undefined {
  const isError = block['is_error'] === true
  const given: Json = block['content'] ?? []
  const parts: Json = typeof given === 'string' ? [{ type: 'text', text: given }] : given
  if (!Array.isArray(parts)) return undefined
  const content: JsonObject[] = []
  let size = 0
  for (const part of parts) {
    if (!isObject(part)) return undefined
    const source = part['type'] === 'image' && !isError ? part['source'] : undefined
    if (part['type'] === 'text' && typeof part['text'] === 'string') {
      size += part['text'].length
      if (part['text'] !== '') content.push({ type: 'text', text: part['text'] })
    } else if (isObject(source) && source['type'] === 'base64') {
      content.push({ type: 'image', data: source['data'], mimeType: source['media_type'] })
    } else return undefined
  }
  // lossy: the program words a result without content itself
  return size > (isError ? MAX_ERROR : MAX_RESULT) ? undefined : { content, isError }
}
