/**
 * Same dialect on both sides: the upstream's bytes are the client's bytes. Only whole events are passed on, so that an
 * error, or a keep-alive, can always stand behind the last one.
 * @module
 */
import { DarioError } from '../errors.ts'
import { createSseDecoder } from '../sse.ts'
import { peek } from './peek.ts'
import { pump } from './pump.ts'
import { createTap, readResponseId } from './tap.ts'
import type { Upstream } from '../backends/backend.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Job } from './job.ts'

/** Held back until the first real event, so that an error before it can still become another candidate's turn. */
export const MAX_PREAMBLE_BYTES = 262_144
const MAX_EVENT_BYTES = 16_777_216
/** Any client takes this much at once, so nobody need wait until it is read. */
const SMALL_BODY = 16_384
/** A JSON answer of up to this size is looked at for its usage. */
const MAX_LOOK_BYTES = 8_388_608

export interface Relayed {
  /** undefined: the answer is whole. */
  error: DarioError | undefined
  /** The upstream's own error event is among the bytes that the client got. */
  told: boolean
  /** Bytes reached the client; without that another candidate may answer. */
  committed: boolean
}

/** By its word, whatever was asked for. */
export function isStream({ headers }: Upstream): boolean {
  return /^text\/event-stream/i.test(headers['content-type'] ?? '')
}

/**
 * @param commit writes the head; called once, before the first byte.
 * @param holdErrors an error event before content is kept from the client (there is another candidate).
 */
export async function relayStream(job: Job, upstream: Upstream, commit: () => void, holdErrors: boolean): Promise<Relayed> {
  const { client, reply } = job
  const tap = createTap(client)
  const cutter = createEventCutter()
  const preamble = createPreamble(job)
  let committed = false

  function pass(all: Buffer): Promise<void> | void | false {
    tap.push(all)
    const events = job.hidesUsage ? withoutUsage(all) : all
    if (events.length === 0) return
    if (committed) return reply.write(events)
    const found = preamble.look(events)
    if (found === 'error' && holdErrors) return false
    if (found === 'preamble' && preamble.size < MAX_PREAMBLE_BYTES) return
    return release()
  }
  function release(): Promise<void> | void {
    commit()
    committed = true
    return reply.write(preamble.take())
  }

  let broken: DarioError | undefined
  try {
    await pump(upstream.body, job.signal, (bytes) => {
      const events = cutter.push(bytes)
      return events === undefined ? undefined : pass(events)
    })
    const rest = cutter.rest()
    const wasOpen = tap.end === undefined
    if (rest.length > 0 && preamble.error === undefined) {
      // A last event without its blank line counts only if it ends the answer; else it is the stump of a cut stream.
      tap.push(rest)
      if (!wasOpen || tap.end !== undefined) await pass(rest)
    }
  } catch (error) {
    if (job.signal.aborted || !(error instanceof DarioError)) throw error
    broken = error
  } finally {
    job.answerId = tap.id
    job.record.usage = tap.usage ?? job.record.usage // a cancelled stream cost what it cost (pitfall U7)
  }
  if (!committed && tap.end === 'complete') await release()
  const error = tap.end === 'complete' ? undefined : preamble.error ?? (tap.end === 'error'
    ? new DarioError('upstream_error', 'the upstream reported an error inside its stream')
    : broken ?? new DarioError('upstream_protocol', 'the upstream ended its stream before the answer was complete; try again'))
  return { error, told: committed && tap.end === 'error', committed }
}

/** How an error begins that came with status 200 (pitfall O7), and what is no JSON object: neither is an answer. */
const NO_ANSWER = /^\s*(?:[^\s{]|\{\s*"(?:error"\s*:\s*(?:\{|"[^"])|type"\s*:\s*"error"))/

/** A JSON (or any other) body, relayed as it comes. */
export async function relayBody(job: Job, upstream: Upstream, commit: () => void): Promise<Relayed> {
  const { reply } = job
  const seen: Buffer[] = []
  let size = 0
  let committed = false, refused = false
  const isPlain = upstream.headers['content-encoding'] === undefined
  const isAnswer = isPlain && job.incoming.operation === 'generate'
  const isJson = isAnswer || (isPlain && (upstream.headers['content-type'] ?? '').includes('json'))
  const length = isPlain ? Number(upstream.headers['content-length']) : NaN
  try {
    await pump(upstream.body, job.signal, (bytes) => {
      if (isAnswer && size === 0) refused = NO_ANSWER.test(bytes.toString('latin1', 0, 100))
      size += bytes.length
      if (isJson && size <= MAX_LOOK_BYTES) seen.push(bytes)
      if (refused) return size > MAX_LOOK_BYTES ? false : undefined
      if (!committed) commit()
      committed = true
      if (size === length && size <= SMALL_BODY) return reply.end(bytes) // one write less than with an end apart
      return reply.write(bytes)
    })
  } catch (error) {
    if (job.signal.aborted || !(error instanceof DarioError)) throw error
    return { error, told: false, committed }
  }
  if (refused || (isAnswer && size === 0)) {
    const error = refused ? job.client.decodeError(200, Buffer.concat(seen).toString())
      : new DarioError('upstream_protocol', `the upstream answered ${upstream.status} with nothing in it; send the request again`)
    return { error, told: false, committed: false }
  }
  if (!committed) commit()
  if (isJson && size <= MAX_LOOK_BYTES) noteAnswer(job, Buffer.concat(seen))
  return { error: undefined, told: false, committed: true }
}

function noteAnswer(job: Job, body: Buffer): void {
  try {
    // Parsing a short body natively costs less than a scan of ours; of a long one most need not be parsed.
    const read = body.length < 16_384 ? undefined : peek(body).read
    const answer = (read === undefined ? JSON.parse(body.toString()) : { id: read('id'), usage: read('usage') }) as JsonObject
    job.answerId = readResponseId(answer)
    job.record.usage = job.client.readUsage(answer) ?? job.record.usage
  } catch {
    // not the relay's matter: the bytes have passed
  }
}

const NO_CHOICES = /"choices":\s*\[\s*\]/

/** Without the chunk that has nothing but usage: some clients take its empty `choices` for a fault. */
function withoutUsage(events: Buffer): Buffer {
  const text = events.toString('latin1')
  if (!NO_CHOICES.test(text)) return events
  const kept = text.split(/(?<=\r?\n\r?\n)/).filter((event) => !NO_CHOICES.test(event) || !/"usage":\s*\{/.test(event))
  return Buffer.from(kept.join(''), 'latin1')
}

/** Keeps what is not content yet, and looks for the first event that is. */
function createPreamble({ client }: Job) {
  const decoder = createSseDecoder()
  let held: Buffer[] = []
  const preamble = {
    size: 0,
    error: undefined as DarioError | undefined,
    look(events: Buffer): 'preamble' | 'content' | 'error' {
      held.push(events)
      preamble.size += events.length
      // In small steps: once content is found the rest of a burst need not be decoded.
      for (let from = 0; from < events.length; from += 1024) {
        for (const event of decoder.push(events.toString('latin1', from, from + 1024))) {
          if (client.endOf(event) === 'error') {
            preamble.error = client.decodeError(200, Buffer.from(event.data, 'latin1').toString())
            return 'error'
          }
          if (!client.isPreamble(event)) return 'content'
        }
      }
      return 'preamble'
    },
    take() {
      const all = held.length === 1 ? held[0]! : Buffer.concat(held)
      held = []
      return all
    },
  }
  return preamble
}

/** Cuts the byte stream behind its last blank line; the stump waits for its end. */
function createEventCutter(): { push(bytes: Buffer): Buffer | undefined; rest(): Buffer } {
  let pieces: Buffer[] = []
  let size = 0
  let before = '' // the last three bytes of what waits: a blank line may be cut in two
  return {
    push(bytes) {
      const cut = findBlankLine(bytes, before)
      if (cut === 0) {
        pieces.push(bytes)
        size += bytes.length
        before = (before + bytes.toString('latin1', Math.max(0, bytes.length - 3))).slice(-3)
        if (size > MAX_EVENT_BYTES) throw new DarioError('upstream_protocol', `the upstream sent one event of over ${MAX_EVENT_BYTES} bytes`)
        return undefined
      }
      if (cut === bytes.length && size === 0) return bytes // the usual case
      const whole = bytes.subarray(0, cut)
      const events = pieces.length === 0 ? whole : Buffer.concat([...pieces, whole])
      pieces = cut === bytes.length ? [] : [bytes.subarray(cut)]
      size = bytes.length - cut
      before = bytes.toString('latin1', Math.max(cut, bytes.length - 3))
      return events
    },
    rest() {
      return Buffer.concat(pieces)
    },
  }
}

/** The offset behind the last blank line that ends in `bytes`, 0 when there is none. */
function findBlankLine(bytes: Buffer, before: string): number {
  const last = bytes.length - 1
  if (last >= 1 && bytes[last] === 10 && bytes[last - 1] === 10) return bytes.length // the usual case
  const at = findLast(bytes)
  if (at > 0 || before === '') return at
  return Math.max(0, findLast(before + bytes.toString('latin1', 0, 3)) - before.length)
}

function findLast(bytes: Buffer | string): number {
  return Math.max(endOf(bytes, '\n\n'), endOf(bytes, '\r\n\r\n'), endOf(bytes, '\r\r'))
}

function endOf(bytes: Buffer | string, blank: string): number {
  const at = bytes.lastIndexOf(blank)
  return at === -1 ? 0 : at + blank.length
}
