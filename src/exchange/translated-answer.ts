/**
 * The bridge between two dialects for one attempt: request in, answer back, both through the hub.
 * @module
 */
import { StringDecoder } from 'node:string_decoder'
import { parseObject } from '../hub/json.ts'
import { createFold } from '../hub/fold.ts'
import { toLegal } from '../dialects/encoding.ts'
import { createSseDecoder } from '../sse.ts'
import { DarioError } from '../errors.ts'
import type { Dialect, EncodedRequest, ReplyContext } from '../dialects/dialect.ts'
import type { HubEvent, HubReply, Usage } from '../hub/types.ts'
import type { SseEvent } from '../sse.ts'

export interface AnswerOptions {
  from: Dialect
  to: Dialect
  encoded: Pick<EncodedRequest, 'toolNames'> & { callIds?: ReadonlySet<string> } | undefined
  context: ReplyContext
  /** The client reads server-sent events; else the answer is folded into one JSON body. */
  stream: boolean
  /** The upstream sends server-sent events; else one JSON body. */
  upstreamStreams: boolean
  /** Told of every event, for the record and the stores. */
  watch: (event: HubEvent) => void
}

/** Upstream bytes in, client text out. `content` says whether anything was real output: until then failover is possible. */
export interface Answer {
  push(bytes: Buffer): string
  /** The upstream's end. Returns the rest, or the whole JSON body. */
  finish(): string
  content: boolean
  /** Set once the answer broke; the text so far is honest up to here. */
  error: DarioError | undefined
  complete: boolean
  /** Ends a stream that broke: closes what is open, then the error. */
  fail(error: DarioError): string
  /** The whole answer, when it was not to be streamed. @throws DarioError when it is not complete. */
  reply(): HubReply
}

/** A whole JSON answer is held to be parsed; of a stream the inputs of calls are. In characters. */
const MAX_JSON = 67_108_864
const MAX_STREAM = 268_435_456

export function createAnswer(options: AnswerOptions): Answer {
  const { from, to, context, stream } = options
  const names = { toolNames: options.encoded?.toolNames ?? new Map<string, never>(), newId: context.newId }
  const text = new StringDecoder('utf8') // one per answer: characters cut between chunks (pitfall S1)
  const sse = createSseDecoder()
  const decoder = from.createStreamDecoder(names)
  const encode = stream ? to.createStreamEncoder(context) : undefined
  const fold = stream ? undefined : createFold()
  const json: string[] = []
  const most = options.upstreamStreams ? MAX_STREAM : MAX_JSON
  let size = 0, usage: Partial<Usage> | undefined

  function take(events: readonly HubEvent[]): string {
    let out = ''
    for (const decoded of events) {
      if (answer.error !== undefined || answer.complete) break
      const event = decoded.type === 'block_start' ? toNew(decoded) : decoded
      options.watch(event)
      if ('usage' in event) usage = event.usage
      if (event.type === 'error') {
        answer.error = event.error
        break // its text is the reply's matter: before content it may become another candidate's turn
      }
      answer.content ||= isContent(event)
      answer.complete = event.type === 'end'
      fold?.push(event)
      if (encode !== undefined) out += encode(event)
    }
    return out
  }

  /** Some servers number their calls anew in every answer; many clients, and Anthropic, want ids used once (pitfall O5). */
  function toNew(event: Extract<HubEvent, { type: 'block_start' }>): HubEvent {
    const { block } = event, used = options.encoded?.callIds
    if (block.type !== 'tool_use' || !(used?.has(block.id) || used?.has(toLegal(block.id, 128)))) return event
    return { ...event, block: { ...block, id: context.newId(`${block.id}_`) } }
  }

  function decodeEvents(events: readonly SseEvent[]): string {
    let out = ''
    for (const event of events) out += take(decoder.push(event))
    return out
  }
  function guard(decode: () => string): string {
    try {
      return decode()
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown
      return refuse('JSON that is nested too deep to be read')
    }
  }
  function refuse(what: string): string {
    return take([{ type: 'error', error: new DarioError('upstream_protocol', `the upstream answered 200 with ${what}`) }])
  }

  const answer: Answer = {
    content: false,
    error: undefined,
    complete: false,
    push(bytes) {
      const piece = text.write(bytes)
      size += piece.length
      if (size > most) throw new DarioError('upstream_protocol', `the upstream sent an answer of over ${most} characters`)
      if (options.upstreamStreams) return guard(() => decodeEvents(sse.push(piece)))
      json.push(piece)
      return ''
    },
    finish() {
      const whole = json.join('') + text.end(), body = options.upstreamStreams ? undefined : parseObject(whole)
      if (body !== undefined) return guard(() => take(from.decodeReply(body, names)))
      // Some servers, and some in between, send events under another content type.
      const isEvents = options.upstreamStreams || /^(?:event|data)?:/.test(whole)
      if (isEvents) return guard(() => decodeEvents([...sse.push(whole), ...sse.end()]) + take(decoder.end()))
      return refuse('something that is no JSON answer')
    },
    fail: (error) => encode?.({ type: 'error', error, usage }) ?? '',
    reply: () => fold!.result(),
  }
  return answer
}

function isContent(event: HubEvent): boolean {
  switch (event.type) {
    case 'start':
    case 'ping':
    case 'error': return false
    // An opened text or thinking block says nothing yet; a tool's name or an opaque block does.
    case 'block_start': return event.block.type !== 'text' && event.block.type !== 'thinking' || event.block.text !== ''
    case 'delta': return event.text !== ''
    default: return true
  }
}
