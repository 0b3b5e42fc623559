/**
 * The ledger: one JSON line per request in `YYYY-MM-DD.jsonl` (UTC), appended off the request path. Counts, names and
 * times only: never a prompt, an answer or a key.
 * @module
 */
import { chmodSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Observer, RequestRecord } from '../hub/record.ts'
import { createAppender, createComplaint } from './append.ts'
import { encodeRow } from './row.ts'
import { createClock, toIso } from './text.ts'
import { DAY_FILE, SUMMARY_FILE, readDay } from './usage.ts'

export interface LedgerOptions {
  folder: string
  /** Older files are deleted. */
  keepDays: () => number
  now: () => number
  /** One sentence, at most once a minute. */
  complain: (message: string) => void
}

export interface Ledger extends Observer {
  end(record: Readonly<RequestRecord>): void
  /** Writes what is waiting. */
  close(): Promise<void>
}

export function createLedger({ folder, keepDays, now, complain }: LedgerOptions): Ledger {
  const report = createComplaint(complain, now)
  const appender = createAppender(report)
  const toDay = createClock(86_400_000, (time) => toIso(time).slice(0, 10))
  const toFile = createClock(86_400_000, (time) => join(folder, `${toDay(time)}.jsonl`))
  let today = ''

  /** Once a day: deletes what is old, and sums up what is past, so that `dario usage` need not read it. */
  function tidy(day: string): void {
    const oldest = new Date(now() - keepDays() * 86_400_000).toISOString().slice(0, 10)
    const all = readdirSync(folder).filter((name) => DAY_FILE.test(name) || SUMMARY_FILE.test(name))
    for (const name of all) if (name < oldest) rmSync(join(folder, name), { force: true })
    const names = all.filter((name) => name >= oldest)
    const open = [folder, ...names.map((name) => join(folder, name))].filter((path, index) => narrow(path, index === 0 ? 0o700 : 0o600))
    if (open.length > 0) complain(`${open[0]} was open to others${open.length > 1 ? `, ${open.length - 1} more in there too` : ''}; now only its owner may read it`)
    const past = names.filter((name) => DAY_FILE.test(name) && name < day)
    // One per turn of the event loop: a day is some milliseconds of work.
    for (const name of past) if (!names.includes(name.replace('.jsonl', '.summary.json'))) later(() => readDay(folder, name.slice(0, 10)))
  }

  /** What was made by others, or restored from a backup, may be open to everyone (pitfall Z12). Windows has no modes. */
  function narrow(path: string, mode: number): boolean {
    const isOpen = (statSync(path).mode & 0o077) !== 0 && process.platform !== 'win32'
    if (isOpen) chmodSync(path, mode)
    return isOpen
  }

  function later(work: () => void): void {
    setImmediate(() => {
      try {
        work()
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code !== 'ENOENT') report(`${folder} cannot be read (${code ?? message}); check who owns it`)
      }
    })
  }

  return {
    isPatient: true,
    end(record) {
      const day = toDay(record.time)
      appender.add(toFile(record.time), encodeRow(record, toIso(record.time)))
      if (day <= today) return
      today = day
      later(() => tidy(today))
    },
    close: () => appender.flush(),
  }
}
