/**
 * A stand-in for the API on loopback: records what arrives and answers by the last user text, as the plan tests need.
 * @module
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Block { type: string; text?: string; id?: string; name?: string; tool_use_id?: string; content?: string | Block[]; [key: string]: unknown }
export interface Arrived {
  model: string
  max_tokens: number
  system: Block[]
  tools: { name: string; description: string; input_schema: unknown }[]
  thinking: unknown
  stream: boolean
  messages: { role: string; content: string | Block[] }[]
}

export interface Api { url: string; arrived: Arrived[]; close(): void }

export async function startApi(): Promise<Api> {
  const arrived: Arrived[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Arrived
      arrived.push(body)
      answer(body, response, arrived.length)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** What the client sent of a message: the program's own reminders and cache marks taken off. */
export function clean(content: string | Block[]): Block[] {
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  return blocks
    .filter((block) => !(block.type === 'text' && String(block.text).startsWith('<system-reminder>')))
    .map(({ cache_control: _mark, ...block }) => {
      if (typeof block.content === 'string') block.content = strip(block.content)
      if (Array.isArray(block.content)) block.content = clean(block.content)
      return block.type === 'text' ? { ...block, text: strip(String(block.text)) } : block
    })
}

const strip = (text: string): string => text.replace(/\n*<system-reminder>[^]*?<\/system-reminder>\n*/g, '')

function answer(body: Arrived, response: ServerResponse, number: number): void {
  const send = (event: Record<string, unknown>): void => { response.write(`event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`) }
  const last = clean(body.messages.at(-1)?.content ?? [])
  const said = last.findLast((block) => block.type === 'text')?.text ?? ''
  const calls = last.some((block) => block.type === 'tool_result') ? [] : said.split(';').filter((part) => part.trim().startsWith('call '))
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  send({ type: 'message_start', message: {
    id: `msg_${number}`, type: 'message', role: 'assistant', model: body.model, content: [], stop_reason: null, stop_sequence: null,
    usage: { input_tokens: 9, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 1 },
  } })
  if (said === 'wait') return // until the connection breaks
  const block = (index: number, content_block: unknown, delta: unknown): void => {
    send({ type: 'content_block_start', index, content_block })
    send({ type: 'content_block_delta', index, delta })
    send({ type: 'content_block_stop', index })
  }
  for (const [index, call] of calls.entries()) {
    const [, name, ...input] = call.trim().split(' ')
    const sent = body.tools.find((tool) => tool.name.endsWith(`__${name}`))?.name ?? name
    block(index, { type: 'tool_use', id: `toolu_${number}_${index}`, name: sent, input: {} }, { type: 'input_json_delta', partial_json: input.join(' ') || '{}' })
  }
  const stop = calls.length > 0 ? 'tool_use' : said === 'max' ? 'max_tokens' : 'end_turn'
  if (calls.length === 0) block(0, { type: 'text', text: '' }, { type: 'text_delta', text: `answer ${number} to ${said || 'results'}` })
  send({ type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 5 } })
  send({ type: 'message_stop' })
  response.end()
}
