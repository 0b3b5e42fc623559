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
  const complain = (error: unknown): void => report(`an observer failed: ${(error as Error).message}`)
  const having = (what: keyof Observer): readonly Observer[] => observers.filter((observer) => observer[what] !== undefined)
  const told = { start: having('start'), attempt: having('attempt'), firstByte: having('firstByte'), end: having('end') }
  function tell(what: 'start' | 'firstByte' | 'end', record: Readonly<RequestRecord>): void {
    for (const observer of told[what]) {
      try {
        observer[what]!(record)
      } catch (error) {
        complain(error)
      }
    }
  }
  return {
    start: (record) => tell('start', record),
    firstByte: (record) => tell('firstByte', record),
    end: (record) => tell('end', record),
    attempt(record, attempt) {
      for (const observer of told.attempt) {
        try {
          observer.attempt!(record, attempt)
        } catch (error) {
          complain(error)
        }
      }
    },
  }
}
