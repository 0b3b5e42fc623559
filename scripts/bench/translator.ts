/**
 * The base of the translated rows: a hand-made proxy that can do one thing, Chat Completions to Anthropic and back,
 * text only, without checks, limits, routing, failover or accounting.
 * @module
 */
import { Agent, createServer, request } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface ChatRequest {
  model: string
  stream?: boolean
  max_tokens?: number
  messages: { role: string; content: string }[]
}

interface AnthropicEvent {
  type: string
  delta?: { text?: string; stop_reason?: string }
  usage?: { output_tokens: number }
}

const upstream = new URL(process.argv[2] ?? '')
const agent = new Agent({ keepAlive: true })
const STOPS: Record<string, string> = { end_turn: 'stop', max_tokens: 'length', tool_use: 'tool_calls' }

function translateRequest(text: string): { body: string; model: string; stream: boolean } {
  const chat = JSON.parse(text) as ChatRequest
  const system = chat.messages.filter(({ role }) => role === 'system').map(({ content }) => content).join('\n')
  const messages = chat.messages.filter(({ role }) => role !== 'system').map(({ role, content }) => ({ role, content: [{ type: 'text', text: content }] }))
  const body = { model: chat.model, stream: true, max_tokens: chat.max_tokens ?? 4096, messages, ...(system === '' ? {} : { system }) }
  return { body: JSON.stringify(body), model: chat.model, stream: chat.stream === true }
}

/** Text chunks in, Chat SSE text out. */
function createTranslator(model: string): (text: string) => string {
  const created = Math.floor(Date.now() / 1000)
  let rest = ''
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created, model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  return (text) => {
    const frames = (rest + text).split('\n\n')
    rest = frames.pop() ?? ''
    let out = ''
    for (const frame of frames) {
      const event = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as AnthropicEvent
      if (event.type === 'message_start') out += chunk({ role: 'assistant', content: '' }, null)
      else if (event.type === 'content_block_delta') out += chunk({ content: event.delta?.text ?? '' }, null)
      else if (event.type === 'message_delta') out += chunk({}, STOPS[event.delta?.stop_reason ?? ''] ?? 'stop')
      else if (event.type === 'message_stop') out += 'data: [DONE]\n\n'
    }
    return out
  }
}

function answerWhole(outgoing: ServerResponse, model: string, sse: string): void {
  let content = ''
  let finish = 'stop'
  for (const frame of sse.split('\n\n')) {
    if (frame === '') continue
    const event = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as AnthropicEvent
    if (event.type === 'content_block_delta') content += event.delta?.text ?? ''
    if (event.type === 'message_delta') finish = STOPS[event.delta?.stop_reason ?? ''] ?? 'stop'
  }
  const body = JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion', model, choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: finish }] })
  outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  outgoing.end(body)
}

const server = createServer((incoming, outgoing) => {
  const chunks: Buffer[] = []
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  incoming.on('end', () => {
    const { body, model, stream } = translateRequest(Buffer.concat(chunks).toString())
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const forward = request({ agent, host: upstream.hostname, port: upstream.port, method: 'POST', path: '/v1/messages', headers }, (answer) => {
      answer.setEncoding('utf8')
      if (stream) {
        outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
        const translate = createTranslator(model)
        answer.on('data', (text: string) => {
          const out = translate(text)
          if (out !== '') outgoing.write(out)
        })
        answer.on('end', () => outgoing.end())
      } else {
        let sse = ''
        answer.on('data', (text: string) => { sse += text })
        answer.on('end', () => answerWhole(outgoing, model, sse))
      }
    })
    forward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => forward.destroy())
    forward.end(body)
  })
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
