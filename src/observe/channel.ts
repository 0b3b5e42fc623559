/**
 * Requests as `diagnostics_channel` events, for programs that embed dario: `dario:request` when one begins and
 * `dario:response` when it is over, both with the RequestRecord; `dario:attempt` after each upstream attempt, with
 * `{ record, attempt }`. Payloads are live objects: read them, keep copies. Nothing is paid while nobody subscribes.
 * @see https://nodejs.org/api/diagnostics_channel.html
 * @module
 */
import { channel } from 'node:diagnostics_channel'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'

/** What a subscriber gets, by the channel's name. */
export interface ChannelPayloads {
  'dario:request': Readonly<RequestRecord>
  'dario:attempt': { record: Readonly<RequestRecord>; attempt: Readonly<AttemptRecord> }
  'dario:response': Readonly<RequestRecord>
}

export function createChannelObserver(): Observer {
  const [request, attempts, response] = [channel('dario:request'), channel('dario:attempt'), channel('dario:response')]
  return {
    start: (record) => request.publish(record),
    attempt(record, attempt) {
      if (attempts.hasSubscribers) attempts.publish({ record, attempt } satisfies ChannelPayloads['dario:attempt'])
    },
    end: (record) => response.publish(record),
  }
}

/** Tells several; one that throws is reported and spoils neither the others nor the request. */
export function fanOut(observers: readonly Observer[], report: (problem: string) => void): Observer {
  function tell(call: (observer: Observer) => void): void {
    for (const observer of observers) {
      try {
        call(observer)
      } catch (error) {
        report(`an observer failed: ${(error as Error).message}`)
      }
    }
  }
  return {
    start: (record) => tell((observer) => observer.start?.(record)),
    attempt: (record, attempt) => tell((observer) => observer.attempt?.(record, attempt)),
    firstByte: (record) => tell((observer) => observer.firstByte?.(record)),
    end: (record) => tell((observer) => observer.end?.(record)),
  }
}
