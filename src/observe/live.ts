/**
 * What dario does now and did in the last hours and days, in memory: one state of bounded size, for the dashboard and
 * `dario watch`. Whoever subscribes gets the whole state each time, so that a missed one costs nothing.
 * @module
 */
import type { KeyState } from '../backends/pool.ts'
import type { Observer, RequestRecord } from '../hub/record.ts'
import { toTool } from './row.ts'
import { foldSources } from './prices.ts'
import { createClock } from './text.ts'
import { addCounts, count, createCounts } from './usage.ts'
import type { Counts } from './usage.ts'

/** Sums over a stretch of time that begins at `time` (Unix ms). */
export type Totals = Counts & { time: number }

export type LiveRequest = Pick<RequestRecord, 'id' | 'time' | 'dialect' | 'tool' | 'model' | 'servedModel' | 'backend' | 'key' |
  'stream' | 'status' | 'firstByteMs' | 'totalMs' | 'usage' | 'cost' | 'error'> & {
  end: RequestRecord['end'] | 'running'
  attempts: number
  dropped: string[]
  /**
   * Output tokens per second after the first byte, of a stream that is no burst. While it runs nobody tells its tokens:
   * then it is an estimate from the bytes so far, at the tokens per byte of the last stream of the same model.
   */
  tokensPerSecond: number | undefined
}

export interface BackendState {
  id: string
  type: string
  keys: KeyState[]
  /** Requests that wait for a free place. */
  waiting: number
  /** Of a plan: share used, 0 to 1, and when it begins anew (Unix ms). */
  windows?: PlanWindows | undefined
}

export type PlanWindows = readonly { name: string; used: number; resetsAt: number | undefined }[]

export interface LiveState {
  time: number
  version: string
  running: number
  /** Newest first; running ones before all others. */
  requests: LiveRequest[]
  /** The newest failures; they stay when newer requests push them out of the list above. */
  errors: LiveRequest[]
  /** Oldest first, the last one is now: 24 hours, 30 local days. */
  hours: Totals[]
  days: Totals[]
  /** Where prices of the figures in `dollars` come from. */
  sources: string[]
  backends: BackendState[]
}

export type Past = Pick<LiveState, 'hours' | 'days' | 'sources'>

export interface Live extends Observer {
  read(): LiveState
  /** Calls back soon after something changed, at most four times a second; returns the way out. */
  subscribe(changed: () => void): () => void
}

export interface LiveOptions {
  now: () => number
  version: string
  backends: () => BackendState[]
  /** Requests under way. */
  running: () => readonly Readonly<RequestRecord>[]
  /** What arrived before `until` (Unix ms), when this process began; asked once, when somebody looks for the first time. */
  history?: ((until: number) => Promise<Past>) | undefined
}

export const HOUR = 3_600_000, HOURS = 24, DAYS = 30
const MOST_REQUESTS = 50, MOST_ERRORS = 20, MOST_SOURCES = 100, BEAT = 250 // ms
const MAX_NAME = 200 // clients choose names, and may choose long ones

export function createLive({ now, version, backends, running, history }: LiveOptions): Live {
  const finished: Readonly<RequestRecord>[] = []
  const errors: Readonly<RequestRecord>[] = []
  const born = now()
  const own: Past = { hours: [], days: [], sources: [] }
  let past: Past | undefined
  // By arrival, as the ledger counts. No zone is apart from UTC by parts of a minute.
  const toHour = createClock(60_000, (time) => current(own.hours, startOfHour(time), HOURS))
  const toDay = createClock(60_000, (time) => current(own.days, startOfDay(time), DAYS))
  const listeners = new Set<() => void>()
  let timer: NodeJS.Timeout | undefined

  function touch(): void {
    if (listeners.size === 0 || timer !== undefined) return
    timer = setTimeout(() => {
      timer = undefined
      for (const listener of listeners) listener()
    }, BEAT)
  }

  /** The first look shows what this process did; what was before follows. */
  function begin(): Past {
    if (past !== undefined) return past
    past = { hours: [], days: [], sources: [] }
    history?.(born).then((known) => {
      past = known
      touch()
    }, () => {}) // a ledger that cannot be read: the log has its complaint
    return past
  }

  return {
    isPatient: true,
    start: touch,
    firstByte: touch,
    attempt: touch,
    end(record) {
      if (isCount(record)) return
      keep(finished, record, MOST_REQUESTS)
      if (record.end === 'failed' || record.end === 'broken') keep(errors, record, MOST_ERRORS)
      count(toHour(record.time), record)
      count(toDay(record.time), record)
      const source = typeof record.cost === 'object' ? record.cost.source : undefined
      if (source !== undefined && !own.sources.includes(source)) keep(own.sources, source, MOST_SOURCES)
      touch()
    },
    read() {
      const time = now()
      const { hours, days, sources } = begin()
      const open = running().filter((record) => !isCount(record)).sort((a, b) => a.time - b.time)
      const requests = [...finished.map((record) => toRequest(record, time)), ...open.slice(-MOST_REQUESTS).map((record) => toRequest(record, time, finished))]
      return {
        time, version, running: open.length, requests: requests.slice(-MOST_REQUESTS).reverse(),
        errors: errors.map((record) => toRequest(record, time)).reverse(),
        hours: fill([...hours, ...own.hours], Array.from({ length: HOURS }, (_, index) => startOfHour(time) - (HOURS - 1 - index) * HOUR)),
        days: fill([...days, ...own.days], Array.from({ length: DAYS }, (_, index) => startOfDay(time, DAYS - 1 - index))),
        sources: foldSources([...sources, ...own.sources]), backends: backends(),
      }
    },
    subscribe(changed) {
      listeners.add(changed)
      return () => void listeners.delete(changed)
    },
  }
}

/** Counting tokens is asked before every turn and costs nothing: not a request that a person means. */
function isCount({ path }: Readonly<RequestRecord>): boolean {
  return path.startsWith('/v1/messages/count_tokens')
}

function keep<Item>(list: Item[], item: Item, most: number): void {
  list.push(item)
  if (list.length > most) list.shift()
}

export function createTotals(time: number): Totals {
  return { time, ...createCounts() }
}

function current(list: Totals[], time: number, most: number): Totals {
  const known = list.findLast((one) => one.time === time)
  if (known === undefined) keep(list, createTotals(time), most + 1) // what ends late may have come before the one in front
  return known ?? list.at(-1)!
}

/** The totals of these times; several of one time are summed. */
function fill(list: readonly Totals[], times: readonly number[]): Totals[] {
  const known = new Map(times.map((time) => [time, createTotals(time)]))
  for (const totals of list) {
    const sum = known.get(totals.time)
    if (sum !== undefined) addCounts(sum, totals)
  }
  return [...known.values()]
}

export function startOfHour(time: number): number {
  return time - time % HOUR
}

/** By the calendar, not by 24 hours: a day on which clocks change has 23 or 25. */
export function startOfDay(time: number, before = 0): number {
  const date = new Date(time)
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() - before).getTime()
}

/** Output tokens: counted by the upstream, or of one under way estimated. */
function toOutput(record: Readonly<RequestRecord>, others: readonly Readonly<RequestRecord>[] | undefined): number {
  if (others === undefined) return record.usage?.output ?? 0
  const like = others.findLast(({ stream, dialect, servedModel, backend, usage }) => (usage?.output ?? 0) > 0
    && stream && dialect === record.dialect && servedModel === record.servedModel && backend === record.backend)
  return like === undefined ? 0 : record.responseBytes * (like.usage?.output ?? 0) / like.responseBytes
}

/** @param others finished ones, when this one is under way */
function toRequest(record: Readonly<RequestRecord>, time: number, others?: readonly Readonly<RequestRecord>[]): LiveRequest {
  const isRunning = others !== undefined
  const { id, dialect, tool, model, servedModel, backend, key, stream, status, firstByteMs, usage, cost, error } = record
  const totalMs = isRunning ? time - record.time : record.totalMs
  const tokens = toOutput(record, others)
  const streamed = totalMs - (firstByteMs ?? totalMs)
  return {
    id, time: record.time, dialect, key, backend: backend ?? record.attempts.at(-1)?.backend, stream, status, firstByteMs, totalMs, usage, cost, error,
    tool: tool === undefined ? undefined : toTool(tool), model: model.slice(0, MAX_NAME), servedModel: servedModel?.slice(0, MAX_NAME),
    end: isRunning ? 'running' : record.end, attempts: record.attempts.length, dropped: record.dropped.slice(0, 20),
    tokensPerSecond: stream && tokens > 0 && streamed >= (isRunning ? 1000 : 100) ? tokens / streamed * 1000 : undefined,
  }
}
