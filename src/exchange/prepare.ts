/**
 * What goes upstream: the client's bytes, or the request in another dialect; and what earlier answers taught about it.
 * @module
 */
import { mergeBetas } from '../backends/headers.ts'
import { expandInput } from '../dialects/responses/items.ts'
import { DarioError } from '../errors.ts'
import { repairToolTurns } from '../hub/repair.ts'
import { createReasoningStore } from './reasoning-store.ts'
import { createRepairs } from './repairs.ts'
import { createResponseStore } from './response-store.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Dialect, EncodedRequest, Repair, ReplyContext } from '../dialects/dialect.ts'
import type { DialectName, HubEvent, JsonObject } from '../hub/types.ts'
import type { Sent } from './deliver.ts'
import type { Incoming } from './incoming.ts'
import type { Decoded, Job } from './job.ts'

export interface Preparer {
  /** @throws DarioError `invalid_json`, `invalid_request`, `unsupported_across_dialects`. */
  decode(incoming: Incoming, client: Dialect): Decoded
  /** What the backend was seen to refuse of such a request, as known now. */
  known(job: Job, candidate: Candidate): ReadonlySet<Repair>
  encode(job: Job, target: Dialect, candidate: Candidate, known: ReadonlySet<Repair>): Encoded
  /** The client's own bytes, changed only where the route renames the model or a refusal taught to. */
  relay(job: Job, candidate: Candidate, known: ReadonlySet<Repair>): Buffer | undefined
  /** Takes refused betas off, adds what the model's suffix asks for. */
  trimBetas(job: Job, candidate: Candidate, headers: Record<string, string>): void
  /** Whether the refusal taught something, so that one more try is worth it. */
  learn(job: Job, candidate: Candidate, sent: Sent, error: DarioError): boolean
  watch(job: Job): (event: HubEvent) => void
  /** Keeps a finished answer for `previous_response_id`. */
  keep(job: Job, answer: JsonObject): void
}

/** A translated request as it is sent, and what its answer is read and told by. */
export interface Encoded extends Pick<EncodedRequest, 'headers' | 'warnings' | 'toolNames'> {
  body: string
  request: ReplyContext['request']
}

export interface PreparerLimits {
  /** Of what is kept for `previous_response_id`. */
  maxStoredAnswers: number
  maxStoredBytes: number
  /** Somebody counts tokens. */
  countsUsage: () => boolean
  maxOutputTokens: (backend: string, model: string) => number | undefined
}

const BETA = 'anthropic-beta'
/** A relayed body is the client's own: only what it could not know of this backend is changed in it. */
const OF_RELAY: ReadonlySet<Repair> = new Set<Repair>(['no_thinking_history', 'max_completion_tokens', 'max_tokens'])
/** Long context is a beta at Anthropic's API; the `[1m]` in the model's name asks for it (pitfall M1). */
const LONG_CONTEXT_BETA = 'context-1m-2025-08-07'

/** What encoders name in the hub's words, as the client of each dialect wrote it. */
const WORDS: Record<DialectName, Readonly<Record<string, string>>> = {
  anthropic: { stop: 'stop_sequences', input: 'messages' },
  chat: { thinking: 'reasoning_effort', input: 'messages' },
  responses: { thinking: 'reasoning', messages: 'input', verbosity: 'text.verbosity' },
}

export function createPreparer(limits: PreparerLimits): Preparer {
  const repairs = createRepairs()
  const reasoning = createReasoningStore()
  const responses = createResponseStore(limits.maxStoredAnswers, limits.maxStoredBytes)

  /** With what is kept of answers of ours in place; a vendor's own are the vendor's to know, and stay as they are. */
  function expand(body: JsonObject, owner: string | undefined): JsonObject {
    const previous = body['previous_response_id']
    return expandInput(body, typeof previous === 'string' ? responses.get(previous, owner) : undefined, (id) => responses.item(id, owner))
  }

  function decode(incoming: Incoming, client: Dialect): Decoded {
    let body = parseBody(incoming.body)
    if (client.name === 'responses') body = expand(body, incoming.accessKey?.name)
    if (client.name === 'responses' && typeof body['previous_response_id'] === 'string') {
      throw new DarioError('invalid_request', `previous_response_id: the response ${JSON.stringify(body['previous_response_id'].slice(0, 100))} is not kept here: ` +
        'it is unknown, too old or was sent with store: false. Send the whole conversation as input', { path: 'previous_response_id' })
    }
    const { request, warnings } = client.decodeRequest(body)
    const repaired = repairToolTurns(request.turns)
    return { request: { ...request, turns: reasoning.restore(repaired.turns, incoming.accessKey?.name) }, warnings: [...warnings, ...repaired.warnings], body }
  }

  function known(job: Job, { backend, model }: Candidate): ReadonlySet<Repair> {
    return repairs.of(backend.id, model, job.affinity)
  }

  function encode(job: Job, target: Dialect, { backend, model }: Candidate, known: ReadonlySet<Repair>): Encoded {
    const { request, warnings: lost } = job.decoded()
    const { body, headers, toolNames, warnings } = target.encodeRequest({ ...request, model, stream: true }, {
      model,
      host: backend.host,
      repairs: known,
      session: job.session,
      maxOutputTokens: limits.maxOutputTokens(backend.id, model),
    })
    const words = WORDS[job.client.name]
    const named = warnings.map(({ path, reason }) => ({ path: path.replace(/^\w+/, (word) => words[word] ?? word), reason }))
    job.release()
    const { streamUsage, extra } = request
    return { body: JSON.stringify(body), headers, toolNames, warnings: [...lost, ...named], request: { streamUsage, extra } }
  }

  function relay(job: Job, { backend, model }: Candidate, known: ReadonlySet<Repair>): Buffer | undefined {
    const { incoming, peeked, client } = job
    if (peeked === undefined) return incoming.body.length === 0 && incoming.method !== 'POST' ? undefined : incoming.body
    const body = model === peeked.model || peeked.model === '' ? incoming.body : peeked.withModel(model)
    job.hidesUsage = limits.countsUsage() && job.stream && !known.has('no_stream_options')
      && peeked.read('stream_options') === undefined && client.mustAskUsage?.({ model, host: backend.host, repairs: known }) === true
    const asked = job.hidesUsage ? withUsage(body) : body
    const refers = client.name === 'responses' &&
      (typeof peeked.read('previous_response_id') === 'string' || incoming.body.includes('"item_reference"'))
    if (!refers && (known.size === 0 || client.repairBody === undefined)) return asked
    const sent = parseBody(asked)
    const plain = refers ? expand(sent, incoming.accessKey?.name) : sent
    const repaired = known.size === 0 ? plain : client.repairBody?.(plain, known) ?? plain
    return repaired === sent ? asked : Buffer.from(JSON.stringify(repaired))
  }

  return {
    decode,
    known,
    encode,
    relay,
    trimBetas(job, { backend }, headers) {
      const wanted = backend.type === 'anthropic' && job.suffix.toLowerCase() === '[1m]' ? LONG_CONTEXT_BETA : undefined
      const left = mergeBetas(headers[BETA], wanted, [...repairs.betas(backend.id)])
      if (left === undefined) delete headers[BETA]
      else headers[BETA] = left
    },
    learn(job, { backend, model }, { from, encoded, headers, repairs: applied }, error) {
      if (repairs.learnBeta(backend.id, error, headers[BETA])) return true
      const possible = from.readRepairs(error, model).filter((repair) => !applied.has(repair))
      const found = encoded !== undefined ? possible : possible.filter((repair) => repair === 'no_stream_options'
        ? job.hidesUsage : from.repairBody !== undefined && OF_RELAY.has(repair))
      repairs.learn(backend.id, model, job.affinity, found)
      return found.length > 0
    },
    watch: (job) => reasoning.watch(job.record.accessKey),
    keep(job, answer) {
      if (job.client.name === 'responses') responses.keep(job.decoded().body, answer, job.record.accessKey)
    },
  }
}

/** @throws DarioError `invalid_json`. */
export function parseBody(body: Buffer): JsonObject {
  try {
    return JSON.parse(body.toString()) as JsonObject
  } catch (cause) {
    throw new DarioError('invalid_json', `the request body is not valid JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Chat streams tell their usage only when asked (pitfall U6). */
function withUsage(body: Buffer): Buffer {
  const at = body.indexOf('{') + 1
  return Buffer.concat([body.subarray(0, at), Buffer.from('"stream_options":{"include_usage":true},'), body.subarray(at)])
}
