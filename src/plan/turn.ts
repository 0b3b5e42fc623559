/**
 * One turn of a run: the program's lines become the answer that the client reads.
 * @module
 */
import type { Signal, Upstream } from '../backends/backend.ts'
import { createSource } from '../backends/source.ts'
import { DarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import { createAnswer, encodeMessage } from './answer.ts'
import type { Answer, AnswerEnd } from './answer.ts'
import { encodeLimits, encodeRetryAfter } from './limits.ts'
import type { Told } from './limits.ts'

export interface Ask {
  /** Hash of the conversation with the user turn that is to be answered. */
  chain: string
  stop: readonly string[]
  stream: boolean
  headers: Record<string, string>
  signal: Signal
}

/** `gone`: the program ended before the first event; nothing was spent and the turn may be asked elsewhere. */
export type Asked = { upstream: Upstream } | { gone: string }

export interface Turn {
  readonly answer: Answer
  /** The first that settles it counts: the answer's head, `breakOff`, `fail`, the client that left. */
  readonly asked: Promise<Asked>
  /** Takes one line; false when its reader has enough for now. */
  push(line: JsonObject): boolean
  /** The program ended. */
  breakOff(why: string): void
  fail(error: Error): void
}

/**
 * @param names the client's name of each tool by the one that was sent
 * @param resume the reader wants more
 * @param left the reader went before the answer had come to its end
 */
export function createTurn(
  { stop, stream, headers, signal }: Ask, names: ReadonlyMap<string, string>,
  { told, now }: { told: Told; now: () => number }, resume: () => void, left: () => void,
): Turn {
  const answer = createAnswer(stop, names)
  const body = createSource(resume, () => {
    if (answer.end === undefined) left()
  })
  let resolve = (_asked: Asked): void => {}
  let reject = (_error: Error): void => {}
  const asked = new Promise<Asked>((settled, failed) => { [resolve, reject] = [settled, failed] })
  signal.addEventListener('abort', () => {
    if (answer.end === undefined) fail(signal.reason as Error, true)
  }, { once: true })

  function reply(status: number, type: string): void {
    const retry = status === 429 ? encodeRetryAfter(told.limits, now()) : {}
    const all = { 'content-type': type, ...encodeLimits(told.limits), ...headers, ...retry }
    resolve({ upstream: { status, headers: all, body } })
  }

  function replyWhole(end: AnswerEnd): void {
    const failed = end.type === 'failed'
    body.push(Buffer.from(JSON.stringify(failed ? end.body : encodeMessage(answer))))
    reply(failed ? end.status : 200, 'application/json')
  }

  function fail(error: Error, atOnce = false): void {
    reject(error)
    body.fail(error, atOnce)
  }

  return {
    answer, asked, fail,
    push(line) {
      try {
        const isFirst = !answer.started
        const text = answer.push(line)
        const streams = stream && answer.started
        const goesOn = !streams || text === '' || body.push(Buffer.from(text))
        if (streams && isFirst) reply(200, 'text/event-stream; charset=utf-8')
        if (answer.end === undefined) return goesOn
        if (!streams) replyWhole(answer.end)
        body.end()
        return goesOn
      } catch (cause) {
        const sentence = 'the answer is nested too deep to be written; send the request again'
        fail(new DarioError('upstream_protocol', sentence, { cause }))
        return true
      }
    },
    breakOff(why) {
      if (!answer.started) return resolve({ gone: why })
      const sentence = `the claude program ended in mid-answer (${why}); send the request again`
      fail(new DarioError('upstream_unreachable', sentence))
    },
  }
}
