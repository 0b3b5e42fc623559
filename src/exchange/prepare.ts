/**
 * What goes upstream where the client's bytes do, and what earlier answers taught about any request.
 * @module
 */
import { mergeBetas } from '../backends/headers.ts'
import { parseBody } from './peek.ts'
import { remember } from '../hub/memo.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Repair } from '../dialects/dialect.ts'
import type { DarioError } from '../errors.ts'
import type { Job, Sent } from './job.ts'
import type { LoadTranslation } from './translation.ts'

export interface PreparerTools {
  /** Somebody counts tokens. */
  countsUsage: () => boolean
  translation: LoadTranslation
}

export interface Preparer {
  /** What the backend was seen to refuse of such a request, as known now. */
  known(job: Job, candidate: Candidate): ReadonlySet<Repair>
  /** The client's own bytes, changed only where the route renames the model or a refusal taught to. */
  relay(job: Job, candidate: Candidate, known: ReadonlySet<Repair>): Buffer | undefined | Promise<Buffer>
  /** Takes refused betas off, adds what the model's suffix asks for. */
  trimBetas(job: Job, candidate: Candidate, headers: Record<string, string>): void
  /** Whether the refusal taught something, so that one more try is worth it. */
  learn(job: Job, candidate: Candidate, sent: Sent, error: DarioError): boolean
}

const BETA = 'anthropic-beta'
/** A relayed body is the client's own: only what it could not know of this backend is changed in it. */
const OF_RELAY: ReadonlySet<Repair> = new Set<Repair>(['no_thinking_history', 'max_completion_tokens', 'max_tokens'])
/** A bad signature says something of one history, not of the model. */
const OF_CONVERSATION: ReadonlySet<Repair> = new Set<Repair>(['no_thinking_history', 'no_thinking'])
const NONE: ReadonlySet<never> = new Set()
/** Of models and conversations that refused something. */
const MOST_KNOWN = 1000
/** Long context is a beta at Anthropic's API; the `[1m]` in the model's name asks for it (pitfall M1). */
const LONG_CONTEXT_BETA = 'context-1m-2025-08-07'

export function createPreparer({ countsUsage, translation }: PreparerTools): Preparer {
  /** What backends were seen to refuse, so that the next request is right at once: per model, or per conversation with it. */
  const refusals = new Map<string, Set<Repair>>()
  /** Per backend, `anthropic-beta` tokens (pitfall H4). */
  const refusedBetas = new Map<string, ReadonlySet<string>>()

  function relay(job: Job, { backend, model }: Candidate, known: ReadonlySet<Repair>): Buffer | undefined | Promise<Buffer> {
    const { incoming, peeked, client } = job
    if (peeked === undefined) return incoming.body.length === 0 && incoming.method !== 'POST' ? undefined : incoming.body
    const body = model === peeked.model || peeked.model === '' ? incoming.body : peeked.withModel(model)
    job.hidesUsage = countsUsage() && job.stream && !known.has('no_stream_options')
      && peeked.read('stream_options') === undefined && client.mustAskUsage?.({ model, host: backend.host, repairs: known }) === true
    const asked = job.hidesUsage ? withUsage(body) : body
    const refers = client.name === 'responses' &&
      (typeof peeked.read('previous_response_id') === 'string' || incoming.body.includes('"item_reference"'))
    if (!refers && (known.size === 0 || client.repairBody === undefined)) return asked
    return rewrite(job, asked, known, refers)
  }

  /** With what is kept of earlier answers in its place, and without what was refused. */
  async function rewrite({ client, incoming }: Job, asked: Buffer, known: ReadonlySet<Repair>, refers: boolean): Promise<Buffer> {
    const sent = parseBody(asked)
    const plain = refers ? (await translation(client.name)).expand(sent, incoming.accessKey?.name) : sent
    const repaired = known.size === 0 ? plain : client.repairBody?.(plain, known) ?? plain
    return repaired === sent ? asked : Buffer.from(JSON.stringify(repaired))
  }

  return {
    known(job, { backend, model }) {
      if (refusals.size === 0) return NONE
      const ofModel = refusals.get(`${backend.id}:${model}`)
      const ofConversation = refusals.get(`${backend.id}:${model} ${job.affinity()}`)
      return new Set([...ofModel ?? NONE, ...ofConversation ?? NONE]) // a copy: parallel requests learn meanwhile
    },
    relay,
    trimBetas(job, { backend }, headers) {
      const wanted = backend.type === 'anthropic' && job.suffix.toLowerCase() === '[1m]' ? LONG_CONTEXT_BETA : undefined
      const left = mergeBetas(headers[BETA], wanted, [...refusedBetas.get(backend.id) ?? NONE])
      if (left === undefined) delete headers[BETA]
      else headers[BETA] = left
    },
    learn(job, { backend, model }, { from, encoded, headers, repairs }, error) {
      const named = (headers[BETA] ?? '').split(',').filter((token) => token !== '' && error.message.includes(token))
      if (named.length > 0 && /beta/i.test(error.message)) {
        refusedBetas.set(backend.id, new Set([...refusedBetas.get(backend.id) ?? NONE, ...named]))
        return true
      }
      const possible = from.readRepairs(error, model).filter((repair) => !repairs.has(repair))
      const found = encoded !== undefined ? possible : possible.filter((repair) => repair === 'no_stream_options'
        ? job.hidesUsage : from.repairBody !== undefined && OF_RELAY.has(repair))
      for (const repair of found) {
        const name = `${backend.id}:${model}${OF_CONVERSATION.has(repair) ? ` ${job.affinity()}` : ''}`
        remember(refusals, name, new Set(refusals.get(name)).add(repair), MOST_KNOWN)
      }
      return found.length > 0
    },
  }
}

/** Chat streams tell their usage only when asked (pitfall U6). */
function withUsage(body: Buffer): Buffer {
  const at = body.indexOf('{') + 1
  return Buffer.concat([body.subarray(0, at), Buffer.from('"stream_options":{"include_usage":true},'), body.subarray(at)])
}
