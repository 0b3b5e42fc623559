/**
 * A request between two dialects: encoded for its upstream, and the answer told to the client in its own. Also where the
 * client wants its answer in another form than the upstream sends. Loaded by the first request that needs it.
 * @module
 */
import { decodeBody } from '../backends/body.ts'
import { toClientHeaders } from '../backends/headers.ts'
import { expandInput } from '../dialects/responses/items.ts'
import { DarioError } from '../errors.ts'
import { toFields } from '../hub/json.ts'
import { repairToolTurns } from '../hub/repair.ts'
import { describe } from './describe.ts'
import { parseBody } from './peek.ts'
import { pump } from './pump.ts'
import { createReasoningStore } from './reasoning-store.ts'
import { MAX_PREAMBLE_BYTES, isStream } from './relay.ts'
import { SSE_HEADERS } from './reply.ts'
import { createResponseStore } from './response-store.ts'
import { readResponseId } from './tap.ts'
import { createAnswer } from './translated-answer.ts'
import type { Upstream } from '../backends/backend.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Dialect, Repair, ReplyContext } from '../dialects/dialect.ts'
import type { DialectName, JsonObject } from '../hub/types.ts'
import type { Decoded, Encoded, Job, Sent } from './job.ts'
import type { Relayed } from './relay.ts'
import type { Answer } from './translated-answer.ts'
import type { OutgoingHttpHeaders } from 'node:http'

export interface Translation {
  /** @throws DarioError `invalid_json`, `invalid_request`, `unsupported_across_dialects`. */
  encode(job: Job, target: DialectName, candidate: Candidate, known: ReadonlySet<Repair>): Encoded
  /** @param open the first byte of content is about to reach the client. */
  deliver(job: Job, candidate: Candidate, sent: Sent, open: () => void): Promise<Relayed>
  /** A Responses body with what is kept of answers of ours in place; a vendor's own are the vendor's to know. */
  expand(body: JsonObject, owner: string | undefined): JsonObject
}

/** Brings the whole dialects of these names with it. */
export type LoadTranslation = (...names: DialectName[]) => Translation | Promise<Translation>

export interface TranslationOptions {
  /** Of what is kept for `previous_response_id`. */
  maxStoredAnswers: number
  maxStoredBytes: number
  maxOutputTokens: (backend: string, model: string) => number | undefined
  newId: (prefix: string) => string
}

/** What encoders name in the hub's words, as the client of each dialect wrote it. */
const WORDS: Record<DialectName, Readonly<Record<string, string>>> = {
  anthropic: {
    stop: 'stop_sequences', input: 'messages', format: 'output_config.format',
    parallel_tool_calls: 'tool_choice.disable_parallel_tool_use',
  },
  chat: {
    thinking: 'reasoning_effort', input: 'messages', format: 'response_format',
    'format.strict': 'response_format.json_schema.strict',
  },
  responses: { thinking: 'reasoning', messages: 'input', verbosity: 'text.verbosity', format: 'text.format', 'format.strict': 'text.format.strict' },
}

/** @param dialect of those names that were loaded. */
export function createTranslation(options: TranslationOptions, dialect: (name: DialectName) => Dialect): Translation {
  const reasoning = createReasoningStore()
  const responses = createResponseStore(options.maxStoredAnswers, options.maxStoredBytes)

  function expand(body: JsonObject, owner: string | undefined): JsonObject {
    const previous = body['previous_response_id']
    return expandInput(body, typeof previous === 'string' ? responses.get(previous, owner) : undefined, (id) => responses.item(id, owner))
  }

  /** Whatever it says: of an upstream that answered it was good enough. */
  function readBody({ incoming, client }: Job): JsonObject {
    const body = parseBody(incoming.body)
    return client.name === 'responses' ? expand(body, incoming.accessKey?.name) : body
  }

  function decode(job: Job): Decoded {
    const { incoming, client } = job, body = readBody(job)
    const previous = client.name === 'responses' ? body['previous_response_id'] : undefined
    if (typeof previous === 'string') {
      throw new DarioError('unsupported_across_dialects', `previous_response_id: the response ${JSON.stringify(previous.slice(0, 100))} is not kept here: ` +
        'it is unknown, too old or was sent with store: false. Send the whole conversation as input',
        { path: 'previous_response_id', details: { code: 'previous_response_not_found' } }) // the word on which clients do
    }
    const { request, warnings } = dialect(client.name).decodeRequest(body)
    // First of all, as the repair gives calls other ids than those under which they were kept.
    const repaired = repairToolTurns(reasoning.restore(request.turns, incoming.accessKey?.name))
    return { request: { ...request, turns: repaired.turns }, warnings: [...warnings, ...repaired.warnings], body }
  }

  function encode(job: Job, target: DialectName, { backend, model }: Candidate, known: ReadonlySet<Repair>): Encoded {
    const { request, warnings: lost, body: asked } = job.decoded ??= decode(job)
    const told = toAsked(job, asked)
    const parallelTools = told.legacyCalls ? false : request.parallelTools // the older form has room for one call
    const { body, toolNames, warnings } = dialect(target).encodeRequest({ ...request, parallelTools, model, stream: true }, {
      model,
      host: backend.host,
      repairs: known,
      session: job.session,
      maxOutputTokens: options.maxOutputTokens(backend.id, model),
    })
    const words = WORDS[job.client.name]
    const named = warnings.map(({ path, reason }) => ({ path: path.replace(/^(?:format\.)?\w+/, (word) => Object.hasOwn(words, word) ? words[word]! : word), reason }))
    if (job.client.name !== 'responses') job.decoded = undefined // its answers are kept together with their requests
    const calls = request.turns.flatMap(({ blocks }) => blocks.filter((block) => block.type === 'tool_use'))
    return { body: JSON.stringify(body), toolNames, warnings: [...lost, ...named], request: told, callIds: new Set(calls.map(({ id }) => id)) }
  }

  async function deliver(job: Job, candidate: Candidate, sent: Sent, open: () => void): Promise<Relayed> {
    const { upstream, encoded } = sent
    const upstreamStreams = isStream(upstream)
    const context: ReplyContext = {
      request: encoded?.request ?? toAsked(job, readBody(job)),
      model: job.record.model,
      created: Math.floor(job.incoming.received / 1000),
      newId: options.newId,
      keep(reply) {
        job.answerId = readResponseId(reply)
        if (job.client.name === 'responses') responses.keep(job.decoded?.body ?? readBody(job), reply, job.record.accessKey)
      },
    }
    const remember = reasoning.watch(job.record.accessKey)
    const answer = createAnswer({
      from: dialect(sent.from.name), to: dialect(job.client.name), encoded, stream: job.stream, upstreamStreams, context,
      watch(event) {
        remember(event)
        // Zeros are a decoder's word for what nobody told: such tokens are unknown, not none.
        if ('usage' in event && Object.values(event.usage ?? {}).some(Boolean)) job.record.usage = event.usage
        if (event.type === 'end') job.record.stop = event.rawStop ?? event.stop
      },
    })
    const sink = createSink(job, answer, (headers) => {
      open()
      job.reply.head(200, { ...passedOn(upstream), ...headers, ...describe(job, candidate) })
    })
    const broken = await read(job, upstream, answer, sink, upstreamStreams)
    // A break after the last word is no break: the decoder knows whether the answer was over (pitfall S16).
    const mayBeOver = broken === undefined || upstreamStreams
    if (!answer.complete && answer.error === undefined && mayBeOver) await sink.pass(answer.finish())
    const error = answer.complete ? undefined : broken ?? answer.error
    if (error === undefined) await sink.flush(job.stream ? '' : JSON.stringify(dialect(job.client.name).encodeReply(answer.reply(), context)))
    else if (sink.committed) job.reply.write(answer.fail(error))
    return { error, told: sink.committed, committed: sink.committed }
  }

  return { encode, deliver, expand }
}

/** Not the turns, which would stay in memory while a model answers for minutes. */
function toAsked({ client, peeked }: Job, { input: _, messages: __, ...fields }: JsonObject): ReplyContext['request'] {
  const previous = peeked?.read('previous_response_id') // its answer stands in the input by now
  const named = typeof previous === 'string' ? { ...fields, previous_response_id: previous } : fields
  return {
    streamUsage: toFields(fields['stream_options'])['include_usage'] === true,
    extra: client.name === 'responses' ? { responses: named } : {},
    legacyCalls: client.name === 'chat' && fields['functions'] != null && fields['tools'] == null,
  }
}

/** Returns the error by which the upstream broke; throws what ended the request itself. */
async function read(job: Job, upstream: Upstream, answer: Answer, sink: Sink, upstreamStreams: boolean): Promise<DarioError | undefined> {
  let last: Promise<void> | void = undefined
  try {
    await pump(await decodeBody(upstream), job.signal, (bytes) => {
      last = sink.pass(answer.push(bytes))
      // Whatever follows the end of an answer is not read (pitfall S23).
      return upstreamStreams && (answer.complete || answer.error !== undefined) ? false : last
    })
    await last
    return undefined
  } catch (error) {
    if (!(error instanceof DarioError)) throw error
    if (!job.signal.aborted) return error
    // The client still listens when it is the deadline or a shutdown that ends this: close its open block first (S18).
    if (sink.committed) job.reply.end(answer.fail(error))
    throw error
  }
}

type Sink = ReturnType<typeof createSink>

function createSink(job: Job, answer: Answer, open: (headers: OutgoingHttpHeaders) => void) {
  let held = ''
  const sink = {
    committed: false,
    /** Text waits until there is content: until then another candidate may still answer. */
    pass(text: string): Promise<void> | void {
      held += text
      if (held !== '' && (sink.committed || answer.content || held.length > MAX_PREAMBLE_BYTES)) return sink.flush('')
    },
    /** Sends what waits, and `text` behind it. */
    flush(text: string): Promise<void> | void {
      if (!sink.committed) open(job.stream ? SSE_HEADERS : { 'content-type': 'application/json' })
      sink.committed = true
      const all = held + text
      held = ''
      return all === '' ? undefined : job.reply.write(all)
    },
  }
  return sink
}

/** Headers of a translated answer: what is useful of the upstream's, nothing about its bytes. */
function passedOn(upstream: Upstream): OutgoingHttpHeaders {
  const { 'content-type': _type, 'content-length': _length, 'cache-control': _cache, etag: _etag, ...headers } = toClientHeaders(upstream.headers, false)
  return headers
}
