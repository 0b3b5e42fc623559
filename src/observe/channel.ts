/**
 * Requests as `diagnostics_channel` events, for programs that embed dario: `dario:request` when one begins and
 * `dario:response` when it is over, both with the RequestRecord; `dario:attempt` after each upstream attempt, with
 * `{ record, attempt }`. Payloads are live objects: read them, keep copies. Nothing is paid while nobody subscribes.
 * @see https://nodejs.org/api/diagnostics_channel.html
 * @module
 */
import { channel } from 'node:diagnostics_channel'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
import { createInFlight } from '../hub/in-flight.ts'
import { keepAtExit, takeBack } from './append.ts'

/** What a subscriber gets, by the channel's name. */
export interface ChannelPayloads {
  'dario:request': Readonly<RequestRecord>
  'dario:attempt': { record: Readonly<RequestRecord>; attempt: Readonly<AttemptRecord> }
  'dario:response': Readonly<RequestRecord>
}

const requests = channel('dario:request')
const attempts = channel('dario:attempt')
const responses = channel('dario:response')

export interface Fan extends Observer {
  /** Requests under way. */
  running(): Readonly<RequestRecord>[]
  /** Tells patient observers what they are not told yet. */
  flush(): void
}

type Tell = (record: Readonly<RequestRecord>, attempt: Readonly<AttemptRecord>) => void

const MOMENT = 20 // ms, less than a person sees
const MOST = 64 // records: what waits is copied by each collection of garbage

/** Tells subscribers and several observers; one that throws is reported and spoils neither the others nor the request. */
export function fanOut(observers: readonly Observer[], report: (problem: string) => void): Fan {
  const having = (what: 'start' | 'attempt' | 'firstByte' | 'end', isPatient?: boolean): Tell[] => observers
    .filter((one) => isPatient === undefined || (one.isPatient === true) === isPatient)
    .flatMap((one): Tell | Tell[] => one[what]?.bind(one) ?? [])
  const prompt = { attempt: having('attempt', false), end: having('end', false) }
  const patient = { attempt: having('attempt', true), end: having('end', true) }
  const start = having('start')
  const firstByte = having('firstByte')
  const running = createInFlight<Readonly<RequestRecord>>()
  const over: Readonly<RequestRecord>[] = []
  let timer: NodeJS.Timeout | undefined

  function tell(list: readonly Tell[], record: Readonly<RequestRecord>, attempt?: Readonly<AttemptRecord>): void {
    for (const one of list) {
      try {
        one(record, attempt!)
      } catch (error) {
        report(`an observer failed: ${(error as Error).message}`)
      }
    }
  }

  /** Code that runs many times in a row takes a third of the time that it takes between two requests. */
  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    takeBack(flush)
    for (const record of over.splice(0)) tell(patient.end, record)
  }

  return {
    flush,
    running: running.list,
    start(record) {
      running.add(record)
      if (requests.hasSubscribers) requests.publish(record)
      tell(start, record)
    },
    attempt(record, attempt) {
      if (attempts.hasSubscribers) attempts.publish({ record, attempt } satisfies ChannelPayloads['dario:attempt'])
      tell(prompt.attempt, record, attempt)
      if (attempt.outcome !== 'ok' || record.attempts.length > 1) tell(patient.attempt, record, attempt)
    },
    firstByte: (record) => tell(firstByte, record),
    end(record) {
      running.delete(record)
      // What its request's end cut short had no outcome of its own that anybody told.
      const cut = attempts.hasSubscribers ? record.attempts.at(-1) : undefined
      if (cut?.outcome === 'cancelled') attempts.publish({ record, attempt: cut } satisfies ChannelPayloads['dario:attempt'])
      if (responses.hasSubscribers) responses.publish(record)
      tell(prompt.end, record)
      over.push(record)
      if (over.length >= MOST) return flush()
      if (timer !== undefined) return
      timer = setTimeout(flush, MOMENT).unref()
      keepAtExit(flush)
    },
  }
}
