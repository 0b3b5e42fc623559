/**
 * The log: one line per request and per failed attempt, each with the request's id, for people or as JSON. Redacted,
 * and nothing in it can steer a terminal.
 * @module
 */
import { renameSync, statSync } from 'node:fs'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
import { createAppender, createComplaint } from './append.ts'
import type { Redact } from './redact.ts'
import { createClock, createMemo, encodeTokens, flatten, member, toIso } from './text.ts'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = typeof LEVELS[number]

export interface LogOptions {
  /** `pretty`: for a person at a terminal. */
  format: 'pretty' | 'json'
  /** What is below is left out. */
  level: Level
  write: (line: string) => void
  /** Gets each line as JSON too, whatever `format` says. */
  writeJson?: ((line: string) => void) | undefined
  redact: Redact
  /** How many secrets `redact` knows: text is looked through again when there are more. Default: for each line. */
  countSecrets?: (() => number) | undefined
  /** Makes text safe for a terminal. */
  clean: (text: string) => string
  paint?: ((level: Level, text: string) => string) | undefined
  /** Unix time in ms. */
  now: () => number
}

export interface Log {
  say(level: Level, message: string): void
  observer: Observer
}

export interface LogFile {
  /** Whole lines; bytes are copied. */
  add(lines: string | Buffer): void
  /** Writes what is waiting. */
  close(): Promise<void>
}

const MAX_FILE = 10_485_760
const KEPT_FILES = 3
/** In a line for people and in JSON alike. */
const PLAIN = /^[ !#-[\]-~]*$/

/**
 * At 10 MB `path` becomes PATH.1, then PATH.2 and PATH.3.
 * @param complain gets a sentence when it cannot be written, at most once a minute
 */
export function createLogFile(path: string, complain: (problem: string) => void, now: () => number): LogFile {
  const appender = createAppender(createComplaint(complain, now), rotate)
  return { add: (lines) => appender.add(path, lines), close: appender.flush }
}

export function createLog({ format, level, write, writeJson, redact, clean, paint = (_, text) => text, now, countSecrets = () => NaN }: LogOptions): Log {
  const least = LEVELS.indexOf(level)
  const isJsonWanted = writeJson !== undefined || format === 'json'
  let arePlain = (_record: Readonly<RequestRecord>): boolean => false
  let secrets = NaN // that were known when `arePlain` was made

  /** `members` are encoded, each with a comma in front. `isPlain`: nothing in all that is to be taken out or escaped. */
  function tell(level: Level, message: string, members: string, isPlain = false): void {
    if (LEVELS.indexOf(level) < least) return
    const time = now()
    const text = isPlain ? message : clean(redact(message))
    const quoted = isPlain ? `"${text}"` : JSON.stringify(text)
    const line = isJsonWanted ? `{"time":"${toIso(time)}","level":"${level}","message":${quoted}${members}}\n` : ''
    const json = isPlain ? line : redact(escapeControls(line))
    writeJson?.(json)
    write(format === 'json' ? json : `${paint(level, `${toClock(time)} ${text}`)}\n`)
  }

  /**
   * Most lines hold nothing to take out: looking at the words that a client or an upstream chose is enough then, and
   * at the same words once, until another secret is known.
   */
  function isPlain(record: Readonly<RequestRecord>): boolean {
    if (record.error !== undefined || record.cause !== undefined) return false
    const count = countSecrets()
    if (count !== secrets) {
      secrets = count
      arePlain = createMemo(({ model, servedModel, tool, path, backend, key, accessKey }) => {
        const words = `${model} ${servedModel} ${tool} ${path} ${backend} ${key} ${accessKey}`
        return PLAIN.test(words) && redact(words) === words
      })
    }
    return arePlain(record)
  }

  return {
    say: (level, message) => tell(level, message, ''),
    observer: {
      isPatient: true,
      attempt(record, attempt) {
        if (attempt.outcome === 'ok') return
        const { backend, key, outcome, status, error } = attempt
        tell('warn', describeAttempt(record, attempt), member('id', record.id) + member('event', 'attempt') + member('backend', backend)
          + member('key', key) + member('outcome', outcome) + member('status', status) + member('error', error))
      },
      end(record) {
        const names = toNames(record)
        if (LEVELS.indexOf(names.level) < least) return
        const cause = record.cause instanceof Error && record.cause.stack !== undefined ? ` ${record.cause.stack}` : ''
        tell(names.level, describeEnd(record, names) + cause, isJsonWanted ? encodeEnd(record, names) : '', isPlain(record))
      },
    },
  }
}

/** What lines of many requests share. */
interface Names {
  level: Level
  /** Of the text: behind the id, and behind the times. */
  head: string
  tail: string
  members: string
}

const toNames = createMemo((record): Names => {
  const { model, backend, servedModel, tool, end, status } = record
  let head = `  ${status}${end === 'complete' ? '' : `  ${end}`}  ${model === '' ? record.path : model}`
  if (backend !== undefined) head += `  -> ${record.key ?? backend}${servedModel === model || servedModel === '' ? '' : ` ${servedModel}`}`
  return {
    head: flatten(head), level: toLevel(record), tail: tool ? `  ${tool.split(' ', 1)[0]}` : '',
    members: flatten(member('event', 'request') + member('dialect', record.dialect) + member('model', model) + member('backend', backend)
      + member('servedModel', servedModel) + member('status', status) + member('end', end) + member('tool', tool) + member('accessKey', record.accessKey)),
  }
})

function toLevel({ end, status }: Readonly<RequestRecord>): Level {
  if (end === 'complete' || end === 'cancelled') return 'info'
  return status >= 500 || end === 'broken' ? 'error' : 'warn'
}

function describeAttempt({ id }: Readonly<RequestRecord>, { backend, key, model, outcome, status, ms, error }: Readonly<AttemptRecord>): string {
  return `${id} attempt at ${key ?? backend} for ${model}: ${outcome}${status === undefined ? '' : ` ${status}`} after ${ms} ms`
    + (error === undefined ? '' : `: ${error}`)
}

function describeEnd({ id, usage, cost, firstByteMs, totalMs, error }: Readonly<RequestRecord>, { head, tail }: Names): string {
  let text = id + head
  if (usage !== undefined) {
    const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = usage
    text += `  ${input + cacheRead + cacheWrite} in${cacheRead > 0 ? ` (${cacheRead} cached)` : ''}, ${output} out`
  }
  if (cost !== undefined) text += cost === 'plan' ? '  on the plan' : `  ~$${cost.dollars.toFixed(4)}`
  text += firstByteMs === undefined ? `  ${totalMs} ms${tail}` : `  ${totalMs} ms (first ${firstByteMs})${tail}`
  return error === undefined ? text : `${text}  ${error.code}: ${error.message}`
}

function encodeEnd({ id, usage, cost, totalMs, firstByteMs }: Readonly<RequestRecord>, { members }: Names): string {
  return `,"id":"${id}"${members}${usage === undefined ? '' : `,"usage":{${encodeTokens(usage).slice(1)}}`}${cost === undefined ? '' : `,"cost":${JSON.stringify(cost)}`}`
    + `,"totalMs":${totalMs}${member('firstByteMs', firstByteMs)}`
}

/** JSON leaves alone what some terminals take for the beginning of a command, and what turns text around. */
function escapeControls(json: string): string {
  return json.replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (control) =>
    `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const toClock = createClock(1000, (time) => new Date(time).toTimeString().slice(0, 8))

async function rotate(file: string): Promise<void> {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < MAX_FILE) return
  for (let number = KEPT_FILES - 1; number >= 0; number--) {
    const from = number === 0 ? file : `${file}.${number}`
    if (statSync(from, { throwIfNoEntry: false }) !== undefined) renameSync(from, `${file}.${number + 1}`)
  }
}
