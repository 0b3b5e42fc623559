/**
 * The log: one line per request and per failed attempt, each with the request's id, for people or as JSON. Redacted,
 * and nothing in it can steer a terminal.
 * @module
 */
import { renameSync, statSync } from 'node:fs'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
import { createAppender, createComplaint, createMemo, member } from './append.ts'
import type { Redact } from './redact.ts'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = typeof LEVELS[number]

export interface LogOptions {
  /** `pretty`: for a person at a terminal. */
  format: 'pretty' | 'json'
  /** What is below is left out. */
  level: Level
  write: (line: string) => void
  /** Gets JSON lines too, whatever `format` says; at 10 MB it becomes FILE.1, then FILE.2 and FILE.3. */
  file?: string | undefined
  redact: Redact
  /** Makes text safe for a terminal. */
  clean: (text: string) => string
  paint?: ((level: Level, text: string) => string) | undefined
  /** Unix time in ms. */
  now: () => number
}

export interface Log {
  say(level: Level, message: string): void
  observer: Observer
  /** Writes what is waiting for the file. */
  close(): Promise<void>
}

const MAX_FILE = 10_485_760
const KEPT_FILES = 3
const PRINTABLE = /^[ -~]*$/

export function createLog({ format, level, write, file, redact, clean, paint = (_, text) => text, now }: LogOptions): Log {
  const least = LEVELS.indexOf(level)
  const appender = createAppender(createComplaint((message) => write(`${message}\n`), now), rotate)

  /** `members` are encoded, each with a comma in front. */
  function tell(level: Level, message: string, members: string, isPlain = false): void {
    if (LEVELS.indexOf(level) < least) return
    const time = now()
    const text = isPlain ? message : clean(redact(message))
    const isJsonWanted = file !== undefined || format === 'json'
    const plain = isJsonWanted ? `{"time":"${new Date(time).toISOString()}","level":"${level}"${member('message', text)}${members}}\n` : ''
    const json = isPlain ? plain : redact(escapeControls(plain))
    write(format === 'json' ? json : `${paint(level, `${toClock(time)} ${text}`)}\n`)
    if (file !== undefined) appender.add(file, json)
  }

  /** Most lines hold nothing to take out: looking at the words that a client or an upstream chose is enough then. */
  function isPlain({ model, servedModel, tool, path, error, cause }: Readonly<RequestRecord>): boolean {
    if (error !== undefined || cause !== undefined) return false
    const words = `${model} ${servedModel} ${tool} ${path}`
    return PRINTABLE.test(words) && redact(words) === words
  }

  return {
    say: (level, message) => tell(level, message, ''),
    observer: {
      attempt(record, attempt) {
        if (attempt.outcome === 'ok') return
        const { backend, key, outcome, status, error } = attempt
        tell('warn', describeAttempt(record, attempt), member('id', record.id) + member('event', 'attempt') + member('backend', backend)
          + member('key', key) + member('outcome', outcome) + member('status', status) + member('error', error))
      },
      end(record) {
        const level = toLevel(record)
        if (LEVELS.indexOf(level) < least) return
        const cause = record.cause instanceof Error ? record.cause.stack : undefined
        tell(level, describeEnd(record) + (cause === undefined ? '' : ` ${cause}`), encodeEnd(record), isPlain(record))
      },
    },
    close: () => appender.flush(),
  }
}

function toLevel({ end, status }: Readonly<RequestRecord>): Level {
  if (end === 'complete' || end === 'cancelled') return 'info'
  return status >= 500 || end === 'broken' ? 'error' : 'warn'
}

function describeAttempt({ id }: Readonly<RequestRecord>, { backend, key, model, outcome, status, ms, error }: Readonly<AttemptRecord>): string {
  return `${id} attempt at ${key ?? backend} for ${model}: ${outcome}${status === undefined ? '' : ` ${status}`} after ${ms} ms`
    + (error === undefined ? '' : `: ${error}`)
}

function describeEnd(record: Readonly<RequestRecord>): string {
  const { model, backend, servedModel, usage, cost, firstByteMs, tool, error, end } = record
  let text = `${record.id}  ${record.status}${end === 'complete' ? '' : `  ${end}`}  ${model === '' ? record.path : model}`
  if (backend !== undefined) text += `  -> ${record.key ?? backend}${servedModel === model || servedModel === '' ? '' : ` ${servedModel}`}`
  if (usage !== undefined) {
    const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = usage
    text += `  ${input + cacheRead + cacheWrite} in${cacheRead > 0 ? ` (${cacheRead} cached)` : ''}, ${output} out`
  }
  if (cost !== undefined) text += cost === 'plan' ? '  on the plan' : `  ~$${cost.dollars.toFixed(4)}`
  text += `  ${record.totalMs} ms${firstByteMs === undefined ? '' : ` (first ${firstByteMs})`}`
  if (tool) text += `  ${tool.split(' ', 1)[0]}`
  return error === undefined ? text : `${text}  ${error.code}: ${error.message}`
}

function encodeEnd(record: Readonly<RequestRecord>): string {
  const { usage, cost } = record
  return member('id', record.id) + encodeNames(record)
    + (usage === undefined ? '' : `,"usage":{${(member('input', usage.input) + member('cacheRead', usage.cacheRead) + member('cacheWrite', usage.cacheWrite)
      + member('output', usage.output) + member('reasoning', usage.reasoning)).slice(1)}}`)
    + (cost === undefined ? '' : `,"cost":${JSON.stringify(cost)}`) + member('totalMs', record.totalMs) + member('firstByteMs', record.firstByteMs)
}

const encodeNames = createMemo((record) => member('event', 'request') + member('dialect', record.dialect) + member('model', record.model)
  + member('backend', record.backend) + member('servedModel', record.servedModel) + member('status', record.status) + member('end', record.end)
  + member('tool', record.tool) + member('accessKey', record.accessKey))

/** JSON leaves alone what some terminals take for the beginning of a command, and what turns text around. */
function escapeControls(json: string): string {
  return json.replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (control) =>
    `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function toClock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8)
}

async function rotate(file: string): Promise<void> {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < MAX_FILE) return
  for (let number = KEPT_FILES - 1; number >= 0; number--) {
    const from = number === 0 ? file : `${file}.${number}`
    if (statSync(from, { throwIfNoEntry: false }) !== undefined) renameSync(from, `${file}.${number + 1}`)
  }
}
