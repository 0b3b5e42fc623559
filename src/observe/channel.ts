/**
 * Requests as `diagnostics_channel` events, for programs that embed dario: `dario:request` when one begins and
 * `dario:response` when it is over, both with the RequestRecord; `dario:attempt` after each upstream attempt, with
 * `{ record, attempt }`. Payloads are live objects: read them, keep copies. Nothing is paid while nobody subscribes.
 * @see https://nodejs.org/api/diagnostics_channel.html
 * @module
 */
import { channel } from 'node:diagnostics_channel'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
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
  /** Tells patient observers what they are not told yet. */
  flush(): void
}

const MOMENT = 20 // ms, less than a person sees
const MOST = 1000

/** Tells subscribers and several observers; one that throws is reported and spoils neither the others nor the request. */
export function fanOut(observers: readonly Observer[], report: (problem: string) => void): Fan {
  const having = (what: keyof Observer, isPatient?: boolean): Observer[] =>
    observers.filter((one) => one[what] !== undefined && (isPatient === undefined || (one.isPatient === true) === isPatient))
  const prompt = { start: having('start', false), attempt: having('attempt', false), end: having('end', false) }
  const patient = { start: having('start', true), attempt: having('attempt', true), end: having('end', true) }
  const first = having('firstByte')
  let begun: Readonly<RequestRecord>[] = []
  let over: Readonly<RequestRecord>[] = []
  let timer: NodeJS.Timeout | undefined

  function tell(list: readonly Observer[], what: 'start' | 'firstByte' | 'end', record: Readonly<RequestRecord>): void {
    for (const observer of list) {
      try {
        observer[what]!(record)
      } catch (error) {
        complain(error)
      }
    }
  }

  function tellAttempt(list: readonly Observer[], record: Readonly<RequestRecord>, attempt: Readonly<AttemptRecord>): void {
    for (const observer of list) {
      try {
        observer.attempt!(record, attempt)
      } catch (error) {
        complain(error)
      }
    }
  }

  function complain(error: unknown): void {
    report(`an observer failed: ${(error as Error).message}`)
  }

  /** Code that runs many times in a row takes a third of the time that it takes between two requests. */
  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    takeBack(flush)
    const [started, ended] = [begun, over]
    begun = []
    over = []
    for (const record of started) tell(patient.start, 'start', record)
    for (const record of ended) tell(patient.end, 'end', record)
  }

  function schedule(): void {
    timer = setTimeout(flush, MOMENT).unref()
    keepAtExit(flush)
  }

  return {
    flush,
    start(record) {
      if (requests.hasSubscribers) requests.publish(record)
      if (prompt.start.length > 0) tell(prompt.start, 'start', record)
      begun.push(record)
      if (timer === undefined) schedule()
    },
    attempt(record, attempt) {
      if (attempts.hasSubscribers) attempts.publish({ record, attempt } satisfies ChannelPayloads['dario:attempt'])
      if (prompt.attempt.length > 0) tellAttempt(prompt.attempt, record, attempt)
      if (attempt.outcome !== 'ok' || record.attempts.length > 1) tellAttempt(patient.attempt, record, attempt)
    },
    firstByte(record) {
      if (first.length > 0) tell(first, 'firstByte', record)
    },
    end(record) {
      if (responses.hasSubscribers) responses.publish(record)
      if (prompt.end.length > 0) tell(prompt.end, 'end', record)
      over.push(record)
      if (over.length >= MOST) flush()
      else if (timer === undefined) schedule()
    },
  }
}
