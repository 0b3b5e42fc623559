/**
 * The log: one line per request and per failed attempt, each with the request's id, for people or as JSON. Redacted,
 * and nothing in it can steer a terminal.
 * @module
 */
import { renameSync, statSync } from 'node:fs'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
import { createAppender, createComplaint } from './append.ts'
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
  say(level: Level, message: string, fields?: Readonly<Record<string, unknown>>): void
  observer: Observer
  /** Writes what is waiting for the file. */
  close(): Promise<void>
}

const MAX_FILE = 10_485_760
const KEPT_FILES = 3

export function createLog({ format, level, write, file, redact, clean, paint = (_, text) => text, now }: LogOptions): Log {
  const least = LEVELS.indexOf(level)
  const appender = createAppender(createComplaint((message) => write(`${message}\n`), now), rotate)

  function say(level: Level, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (LEVELS.indexOf(level) < least) return
    const time = new Date(now()).toISOString()
    const text = clean(redact(message))
    const json = file === undefined && format === 'pretty' ? '' : redact(`${toJson({ time, level, message: text, ...fields })}\n`)
    write(format === 'json' ? json : `${paint(level, `${toClock(now())} ${text}`)}\n`)
    if (file !== undefined) appender.add(file, json)
  }

  return {
    say,
    observer: {
      attempt(record, attempt) {
        if (attempt.outcome === 'ok') return
        const { backend, key, outcome, status, error } = attempt
        say('warn', describeAttempt(record, attempt), { id: record.id, event: 'attempt', backend, key, outcome, status, error })
      },
      end(record) {
        const { id, dialect, model, backend, servedModel, status, end, usage, cost, totalMs, firstByteMs, tool, accessKey } = record
        const cause = record.cause instanceof Error ? record.cause.stack : undefined
        say(toLevel(record), describeEnd(record) + (cause === undefined ? '' : ` ${cause}`), {
          id, event: 'request', dialect, model, backend, servedModel, status, end, usage, cost, totalMs, firstByteMs, tool, accessKey,
        })
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
  const { id, status, model, backend, servedModel, usage, cost, firstByteMs, totalMs, tool, error, end } = record
  const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = usage ?? {}
  return [
    id, String(status), end === 'complete' ? '' : end, model === '' ? record.path : model,
    backend === undefined ? '' : `→ ${record.key ?? backend}${servedModel === model || servedModel === '' ? '' : ` ${servedModel}`}`,
    usage === undefined ? '' : `${input + cacheRead + cacheWrite} in${cacheRead > 0 ? ` (${cacheRead} cached)` : ''}, ${output} out`,
    cost === undefined ? '' : cost === 'plan' ? 'on the plan' : `~$${cost.dollars.toFixed(4)}`,
    `${totalMs} ms${firstByteMs === undefined ? '' : ` (first ${firstByteMs})`}`,
    tool?.split(' ', 1)[0] ?? '', error === undefined ? '' : `${error.code}: ${error.message}`,
  ].filter((part) => part !== '').join('  ')
}

/** JSON leaves alone what some terminals take for the beginning of a command, and what turns text around. */
function toJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (control) =>
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
