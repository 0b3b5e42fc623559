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

export function createChannelObserver(): Observer {
  const [request, attempts, response] = [channel('dario:request'), channel('dario:attempt'), channel('dario:response')]
  return {
    start(record) {
      if (request.hasSubscribers) request.publish(record)
    },
    attempt(record, attempt) {
      if (attempts.hasSubscribers) attempts.publish({ record, attempt } satisfies ChannelPayloads['dario:attempt'])
    },
    end(record) {
      if (response.hasSubscribers) response.publish(record)
    },
  }
}

export interface Fan extends Observer {
  /** Tells the patient ones now. */
  flush(): void
}

const MOMENT = 20 // ms, less than a person sees
const MOST = 1000

/** Tells several; one that throws is reported and spoils neither the others nor the request. */
export function fanOut(observers: readonly Observer[], report: (problem: string) => void): Fan {
  const having = (what: keyof Observer): Observer[] => observers.filter((observer) => observer[what] !== undefined)
  const told = { start: having('start'), attempt: having('attempt'), firstByte: having('firstByte') }
  const ends = having('end')
  const prompt = ends.filter(({ isPatient }) => isPatient !== true)
  const patient = ends.filter(({ isPatient }) => isPatient === true)
  let waiting: Readonly<RequestRecord>[] = []
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

  function complain(error: unknown): void {
    report(`an observer failed: ${(error as Error).message}`)
  }

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    takeBack(flush)
    const records = waiting
    waiting = []
    for (const record of records) tell(patient, 'end', record)
  }

  return {
    start: (record) => tell(told.start, 'start', record),
    firstByte: (record) => tell(told.firstByte, 'firstByte', record),
    attempt(record, attempt) {
      for (const observer of told.attempt) {
        try {
          observer.attempt!(record, attempt)
        } catch (error) {
          complain(error)
        }
      }
    },
    end(record) {
      tell(prompt, 'end', record)
      if (patient.length === 0) return
      waiting.push(record)
      if (waiting.length >= MOST) return flush()
      if (timer !== undefined) return
      // Code that runs many times in a row takes a third of the time that it takes between two requests.
      timer = setTimeout(flush, MOMENT).unref()
      keepAtExit(flush)
    },
    flush,
  }
}
