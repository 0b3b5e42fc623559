/**
 * How finished requests become lines: by hand, for JSON.stringify of twenty members takes several times as long, and
 * with what many requests share made once.
 * @module
 */
import type { RequestRecord } from '../hub/record.ts'
import type { Usage } from '../hub/types.ts'

/** `,"name":value`, or nothing. */
export function member(name: string, value: string | number | boolean | undefined): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? `,"${name}":${JSON.stringify(value)}` : `,"${name}":${value}`
}

/** The same text in one piece: what was put together stays a tree of its parts, which every line that holds it walks through again. */
export function flatten(text: string): string {
  return Buffer.from(text).toString()
}

/** Finished requests of which the names differ, the newest few: one tool sends the same names a thousand times. */
const known: Readonly<RequestRecord>[] = []
const MOST_KNOWN = 32
let next = 0
let last: Readonly<RequestRecord> | undefined
let lastPlace = -1

function hasSameNames(one: Readonly<RequestRecord>, other: Readonly<RequestRecord>): boolean {
  return one.model === other.model && one.servedModel === other.servedModel && one.tool === other.tool && one.path === other.path
    && one.backend === other.backend && one.key === other.key && one.route === other.route && one.accessKey === other.accessKey
    && one.dialect === other.dialect && one.method === other.method && one.status === other.status && one.end === other.end
    && one.stop === other.stop && one.stream === other.stream && one.error?.code === other.error?.code
}

/** Where in `known` the first of all finished requests with the same names is; -1: nowhere, its names are too long. */
function toPlace(record: Readonly<RequestRecord>): number {
  if (record === last) return lastPlace
  last = record
  lastPlace = known.findIndex((one) => hasSameNames(one, record))
  const { model, servedModel = '', tool = '', path } = record
  // Clients may choose long names.
  if (lastPlace === -1 && model.length + servedModel.length + tool.length + path.length < 1000) known[lastPlace = next++ % MOST_KNOWN] = record
  return lastPlace
}

/** Makes what depends on the names of a finished request only, once for all that share them. */
export function createMemo<Made>(make: (record: Readonly<RequestRecord>) => Made): (record: Readonly<RequestRecord>) => Made {
  const made: { of: Readonly<RequestRecord>; made: Made }[] = []
  return (record) => {
    const place = toPlace(record)
    const like = known[place]
    if (like === undefined) return make(record)
    const one = made[place]
    if (one?.of === like) return one.made
    return (made[place] = { of: like, made: make(like) }).made
  }
}

/** What belongs to a time in ms, made once for times in a row that share their `unit` (ms). */
export function createClock<Made>(unit: number, make: (time: number) => Made): (time: number) => Made {
  let last: { count: number; made: Made } | undefined
  return (time) => {
    const count = Math.floor(time / unit)
    if (last?.count !== count) last = { count, made: make(time) }
    return last.made
  }
}

/** Milliseconds of its second, three digits. */
function toRest(time: number): string {
  const rest = Math.floor(time - Math.floor(time / 1000) * 1000)
  return rest > 99 ? `${rest}` : rest > 9 ? `0${rest}` : `00${rest}`
}

const toSecond = createClock(1000, (time) => new Date(time).toISOString().slice(0, 20))

/** ISO 8601 in UTC. */
export function toIso(time: number): string {
  return `${toSecond(time)}${toRest(time)}Z`
}

/** Nanoseconds, as digits. */
export function toNano(time: number): string {
  return `${Math.floor(time / 1000)}${toRest(time)}000000`
}

let lastUsage: Partial<Usage> | undefined
let lastTokens = ''

/** Tokens as members, made once for the ledger and the log. Nearly all usage has these four: each piece less counts. */
export function encodeTokens(usage: Partial<Usage>): string {
  if (usage === lastUsage) return lastTokens
  const { input, cacheRead, cacheWrite, output, reasoning } = lastUsage = usage
  const isWhole = input !== undefined && cacheRead !== undefined && cacheWrite !== undefined && output !== undefined
  lastTokens = isWhole ? `,"input":${input},"cacheRead":${cacheRead},"cacheWrite":${cacheWrite},"output":${output}`
    : member('input', input) + member('cacheRead', cacheRead) + member('cacheWrite', cacheWrite) + member('output', output)
  return reasoning === undefined ? lastTokens : lastTokens += member('reasoning', reasoning)
}
