/**
 * The configuration file: read with line and column in errors, watched, and edited under a lock by atomic replacement.
 * @module
 */
import {
  chmodSync, chownSync, closeSync, existsSync, fsyncSync, lstatSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, watch,
  writeFileSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseConfig } from './parse.ts'
import { makeFolder } from './folder.ts'
import type { ConfigFlags, ParsedConfig } from './types.ts'
import type { Environment } from './values.ts'
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'
import { locatePath, parseJsonText } from './json-text.ts'

export interface ConfigSource {
  /** Path; a file that does not exist counts as `{}`. */
  file: string
  /** The user said so: then one that does not exist is told of. */
  isNamed?: boolean | undefined
  environment?: Environment | undefined
  flags?: ConfigFlags | undefined
}

const LOCK_WAIT = 10_000 // ms; an edit takes a few
const LOCK_STALE = 5_000 // ms; a lock older than this was left behind, whatever its process id says now

/** @throws DarioError `config_invalid` that begins with `file:line:column` where the fault is in the file */
export function readConfig(source: ConfigSource): ParsedConfig {
  const text = readText(source.file)
  const parsed = parseText(text ?? '{}', source)
  const missing = source.isNamed === true ? [`${source.file} does not exist; dario uses what it finds`] : []
  return { ...parsed, warnings: [...text === undefined ? missing : fixModes(source.file), ...parsed.warnings] }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return refuseFile(`${file} cannot be read`, error)
  }
}

/** @throws DarioError `config_invalid` with what the system has against a file, and what to do; other errors as they are */
export function refuseFile(problem: string, error: unknown): never {
  const { code = '', syscall } = error as NodeJS.ErrnoException
  if (syscall === undefined) throw error
  const remedy = /^(?:ENOSPC|EDQUOT)$/.test(code) ? 'make room on the disk'
    : /^(?:EISDIR|ELOOP)$/.test(code) ? 'name a file with --config or DARIO_CONFIG' : 'check who owns it and its folder'
  throw new DarioError('config_invalid', `${problem} (${code}); ${remedy}`, { cause: error })
}

function parseText(text: string, { file, environment, flags }: ConfigSource): ParsedConfig {
  const json = parseJsonText(text, file)
  try {
    return parseConfig(json, environment, flags)
  } catch (error) {
    if (!(error instanceof DarioError) || error.path === undefined) throw error
    if (/^(?:--|DARIO_)/.test(error.path)) throw error
    const place = locatePath(text, error.path)
    const where = place === undefined ? file : `${file}:${place.line}:${place.column}`
    throw new DarioError('config_invalid', `${where}: ${error.message}`, { path: error.path })
  }
}

/** Keys are in there: only the owner may read it (pitfall Z12). Windows has no modes. */
function fixModes(file: string): string[] {
  if (process.platform === 'win32') return []
  const folder = dirname(file)
  // Only our own folder: a file named by DARIO_CONFIG may be in a shared one.
  return (basename(folder) === '.dario' ? [folder, file] : [file]).flatMap((path) => {
    const found = statSync(path).mode & 0o777
    if ((found & 0o077) === 0) return []
    const mode = path === file ? '600' : '700'
    try {
      chmodSync(path, mode)
      return `${path} was open to others (mode ${found.toString(8)}); it is now ${mode}`
    } catch {
      return `${path} is open to others (mode ${found.toString(8)}); run: chmod ${mode} ${path}`
    }
  })
}

/**
 * Changes the file: what `edit` does not touch stays, indentation included. The result must be valid or nothing is
 * written. Edits of several processes wait for each other.
 * @throws DarioError `config_invalid`, `conflict` when another process holds the lock for 10 s
 */
export async function editConfig(source: ConfigSource, edit: (json: JsonObject) => void): Promise<ParsedConfig> {
  // People link it into a folder of dotfiles; a rename would replace the link.
  const file = existsSync(source.file) ? realpathSync(source.file) : source.file
  let release: (() => void) | undefined
  try {
    if (lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink()) {
      throw new DarioError('config_invalid', `${file} is a link that leads nowhere; make the file that it names, or delete it`)
    }
    makeFolder(dirname(file))
    release = await lock(`${file}.lock`)
    const text = readText(file)
    const json = text === undefined ? {} : parseJsonText(text, file)
    if (isObject(json)) edit(json)
    const indent = /\n([ \t]+)"/.exec(text ?? '')?.[1] ?? '  '
    const next = `${JSON.stringify(json, null, indent)}\n`
    const parsed = parseEdited(json, text, { ...source, file })
    replaceFile(file, next)
    return parsed
  } catch (error) {
    return refuseFile(`${file} cannot be written`, error)
  } finally {
    release?.()
  }
}

/** What was wrong before has its place in the file; what the edit brings has none, since it is not written. */
function parseEdited(json: unknown, before: string | undefined, source: ConfigSource): ParsedConfig {
  try {
    return parseConfig(json, source.environment, source.flags)
  } catch (error) {
    if (before !== undefined) parseText(before, source)
    throw error
  }
}

/** A reader, or a crash at any moment, sees the old text or the new one, never a part. */
export function replaceFile(file: string, text: string, mode = 0o600): void {
  const temporary = `${file}.dario-tmp` // one name, since we hold the lock: what a killed process left is swept up here
  rmSync(temporary, { force: true })
  try {
    writeFileSync(temporary, text, { mode, flush: true, flag: 'wx' })
    const owner = process.getuid?.() === 0 ? statSync(file, { throwIfNoEntry: false }) : undefined
    if (owner !== undefined) chownSync(temporary, owner.uid, owner.gid) // under sudo it would be out of its owner's reach
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  if (process.platform === 'win32') return // fsync of a folder is EPERM there (pitfall W6)
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } catch {
    // Some network file systems refuse; the rename itself has happened.
  } finally {
    closeSync(folder)
  }
}

async function lock(path: string): Promise<() => void> {
  for (const end = performance.now() + LOCK_WAIT; ; await sleep(10 + Math.random() * 20)) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 })
      return () => rmSync(path, { force: true })
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      if (syscall === 'write') rmSync(path, { force: true }) // made, and then the disk was full
      if (code !== 'EEXIST' && code !== 'EPERM') throw error // EPERM: Windows, while it is being deleted
    }
    if (!breakStale(path) && performance.now() > end) {
      throw new DarioError('conflict', `another dario is writing the configuration; if none runs, delete ${path}`)
    }
  }
}

/** Moves the lock of a dead process aside; the move is atomic, so of two that try only one succeeds. */
function breakStale(path: string): boolean {
  try {
    const owner = readFileSync(path, 'utf8')
    if (Date.now() - statSync(path).mtimeMs < LOCK_STALE && (owner === '' || isAlive(Number(owner)))) return false
    const aside = `${path}.${process.pid}`
    renameSync(path, aside)
    // Between reading and moving, another may have taken the lock anew: then that one is given back.
    const moved = readFileSync(aside, 'utf8')
    if (moved === owner) rmSync(aside)
    else renameSync(aside, path)
    return moved === owner
  } catch {
    return false // gone meanwhile
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Calls `onChange` with each new valid configuration, `onError` with what is wrong with an invalid one (the caller then
 * keeps what it has). A deleted file is no change. Does not keep the process alive.
 */
export function watchConfig(
  source: ConfigSource, onChange: (parsed: ParsedConfig) => void, onError: (error: DarioError) => void,
): { close(): void } {
  let seen = readText(source.file)
  let problem = ''
  function check(): void {
    try {
      const text = readText(source.file)
      if (text === undefined || text === seen) return
      seen = text
      const parsed = readConfig(source)
      problem = ''
      onChange(parsed)
    } catch (error) {
      const { message } = error as DarioError
      if (message !== problem) onError(error as DarioError)
      problem = message
    }
  }
  const timer = setTimeout(check, 50).unref() // editors write in several steps
  // Polling finds what watching misses: network drives, containers, a folder that is made later, the target of a link.
  const poll = setInterval(check, 2_000).unref()
  let watcher: ReturnType<typeof watch> | undefined
  try {
    watcher = watch(dirname(source.file), { persistent: false }, () => timer.refresh())
    watcher.on('error', () => watcher?.close())
  } catch {
    // The folder is not there yet.
  }
  return {
    close() {
      clearTimeout(timer)
      clearInterval(poll)
      watcher?.close()
    },
  }
}
