/**
 * What goes upstream: the client's bytes, or the request in another dialect; and what earlier answers taught about it.
 * @module
 */
import { toFamily } from '../dialects/chat/families.ts'
import { expandInput } from '../dialects/responses/decode-request.ts'
import { DarioError } from '../errors.ts'
import { repairToolTurns } from '../hub/repair.ts'
import { createReasoningStore } from './reasoning-store.ts'
import { createRepairs } from './repairs.ts'
import { createResponseStore } from './response-store.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Dialect, EncodedRequest } from '../dialects/dialect.ts'
import type { HubEvent, JsonObject } from '../hub/types.ts'
import type { Incoming } from './exchange.ts'
import type { Decoded, Job } from './job.ts'

export interface Preparer {
  /** @throws DarioError `invalid_json`, `invalid_request`, `unsupported_across_dialects`. */
  decode(incoming: Incoming, client: Dialect): Decoded
  encode(job: Job, target: Dialect, candidate: Candidate): EncodedRequest
  /** The client's own bytes, changed only where the route renames the model or a refusal taught to. */
  relay(job: Job, candidate: Candidate): Buffer | undefined
  /** Takes refused betas off. */
  trimBetas(candidate: Candidate, headers: Record<string, string>): void
  /** Whether the refusal taught something, so that one more try is worth it. */
  learn(job: Job, candidate: Candidate, from: Dialect, error: DarioError, translated: boolean): boolean
  watch(): (event: HubEvent) => void
  /** Keeps a finished answer for `previous_response_id`. */
  keep(job: Job, answer: JsonObject): void
}

export interface PreparerLimits {
  /** Somebody counts tokens. */
  countsUsage: () => boolean
  maxOutputTokens: (backend: string, model: string) => number | undefined
}

const BETA = 'anthropic-beta'
/** Long context is a beta at Anthropic's API; the `[1m]` in the model's name asks for it (pitfall M1). */
const LONG_CONTEXT_BETA = 'context-1m-2025-08-07'

export function createPreparer(limits: PreparerLimits): Preparer {
  const repairs = createRepairs()
  const reasoning = createReasoningStore()
  const responses = createResponseStore()

  function decode(incoming: Incoming, client: Dialect): Decoded {
    let body: JsonObject
    try {
      body = JSON.parse(incoming.body.toString()) as JsonObject
    } catch (cause) {
      throw new DarioError('invalid_json', `the request body is not valid JSON: ${(cause as Error).message}`, { cause })
    }
    const previous = client.name === 'responses' ? body['previous_response_id'] : undefined
    if (typeof previous === 'string') {
      const stored = responses.get(previous, incoming.accessKey?.name)
      if (stored === undefined) {
        throw new DarioError('invalid_request', `the response ${JSON.stringify(previous.slice(0, 100))} is not kept here: ` +
          'it is unknown, too old or was sent with store: false. Send the whole conversation as input', { path: 'previous_response_id' })
      }
      body = expandInput(body, stored)
    }
    const { request, warnings } = client.decodeRequest(body)
    const repaired = repairToolTurns(request.turns)
    return { request: { ...request, turns: reasoning.restore(repaired.turns) }, warnings: [...warnings, ...repaired.warnings], body }
  }

  function encode(job: Job, target: Dialect, { backend, model }: Candidate): EncodedRequest {
    const { request } = job.decoded()
    return target.encodeRequest({ ...request, model, stream: true }, {
      model,
      host: backend.host,
      repairs: repairs.of(backend.id, model, job.affinity),
      session: job.session,
      maxOutputTokens: limits.maxOutputTokens(backend.id, model),
    })
  }

  function relay(job: Job, { backend, model }: Candidate): Buffer | undefined {
    const { incoming, peeked, client } = job
    if (peeked === undefined) return incoming.body.length === 0 && incoming.method !== 'POST' ? undefined : incoming.body
    const known = repairs.of(backend.id, model, job.affinity)
    const body = model === peeked.model || peeked.model === '' ? incoming.body : peeked.withModel(model)
    job.hidesUsage = limits.countsUsage() && client.name === 'chat' && job.stream && !known.has('no_stream_options')
      && peeked.read('stream_options') === undefined && toFamily({ model, host: backend.host, repairs: known }).openFields
    if (job.hidesUsage) return withUsage(body)
    if (known.size === 0 || client.repairBody === undefined) return body
    return Buffer.from(JSON.stringify(client.repairBody({ ...JSON.parse(body.toString()) as JsonObject }, known)))
  }

  return {
    decode,
    encode,
    relay,
    trimBetas({ backend, model }, headers) {
      const asked = headers[BETA]
      const wanted = model.endsWith('[1m]') && backend.type === 'anthropic' ? `${asked === undefined ? '' : `${asked},`}${LONG_CONTEXT_BETA}` : asked
      if (wanted === undefined) return
      const refused = repairs.betas(backend.id)
      const left = [...new Set(wanted.split(',').map((token) => token.trim()))].filter((token) => token !== '' && !refused.has(token))
      if (left.length === 0) delete headers[BETA]
      else headers[BETA] = left.join(',')
    },
    learn(job, { backend, model }, from, error, translated) {
      if (repairs.learnBeta(backend.id, error, job.incoming.headers[BETA] as string | undefined)) return true
      const found = from.readRepairs(error, model)
      // A relayed body is the client's own: only reasoning that no longer verifies is taken out of it, and what we put in.
      const ours = found.filter((repair) => repair === 'no_thinking_history' ? from.repairBody !== undefined
        : repair === 'no_stream_options' && job.hidesUsage)
      return repairs.learn(backend.id, model, job.affinity, translated ? found : ours)
    },
    watch: () => reasoning.watch(),
    keep(job, answer) {
      if (job.client.name !== 'responses') return
      responses.keep(job.decoded().body, answer, job.record.accessKey)
    },
  }
}


/** Chat streams tell their usage only when asked (pitfall U6). */
function withUsage(body: Buffer): Buffer {
  const at = body.indexOf('{') + 1
  return Buffer.concat([body.subarray(0, at), Buffer.from('"stream_options":{"include_usage":true},'), body.subarray(at)])
}
