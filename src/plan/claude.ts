/**
 * The official `claude` program as a child process: lines in and out, its last words, its end, and a guard that ends
 * it when this process dies. The only caller of `spawn`.
 * @module
 */
import { ChildProcess, spawn } from 'node:child_process'
import type { SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { parseObject } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'
import { toCommandLine } from './program.ts'
import type { Environment } from './program.ts'

export interface Claude {
  write(line: JsonObject): void
  /** Stops and restarts reading its output: a client that reads slowly slows the answer down. */
  pause(): void
  resume(): void
  /** Whether this process stays alive for it; at first it does, and once it is killed. */
  hold(holds: boolean): void
  /** SIGKILL to the process and all it started. */
  kill(): void
  /**
   * Resolves with the reason and its last words on stderr, redacted, when it has ended, also when it could not be
   * started, and at most `KILL_MS` after a `kill` that did not end it.
   */
  readonly over: Promise<string>
}

export interface Start {
  file: string
  args: string[]
  env: Environment
  cwd: string
  folder: string
  /** Never to be seen in its last words. */
  secrets: string[]
  log(line: string): void
}

/** Milliseconds after SIGKILL until a process is given up: a hung file system or a stopped tracer may hold it for ever. */
export const KILL_MS = 3_000
/** Milliseconds without output after which a program that ended has none left, and how often others may fill them. */
const SILENCE = 500, MOST_CHATTER = 6
/** Characters that are kept of stderr and of a short call's output. */
const MAX_WORDS = 65_536
/** Characters of one line, with room for all images of a tool's result: a text of Node's has an end too, at 2^29. */
const MAX_LINE = 2 ** 27

/** Starts it, with a guard that ends it and deletes `folder` when this process dies, however it dies. */
export function startClaude(start: Start, take: (line: JsonObject) => void): Claude {
  const child = launch(start.file, start.args, start.env, start.cwd)
  const guard = child.pid === undefined ? undefined : startGuard(child.pid, start.folder)
  const pipes = [child.stdin, child.stdout, child.stderr] as unknown as (Socket | undefined)[]
  const hold = (holds: boolean): void => { for (const handle of [child, ...pipes]) handle?.[holds ? 'ref' : 'unref']() }
  let words = ''
  let late: NodeJS.Timeout | undefined
  let giveUp = (_reason: string): void => {}
  const ended = new Promise<string>((resolve) => {
    giveUp = resolve
    child.on('error', (error) => resolve(`could not be started: ${error.message}`))
    child.on('close', (code, signal) => resolve(signal === null ? `exit code ${code ?? '?'}` : `signal ${signal}`))
  })
  child.on('exit', () => clearTimeout(late))
  child.on('close', () => guard?.kill('SIGKILL'))
  child.stdin?.on('error', () => {}) // it closed its end: `close` follows and says why
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { words = (words + text).slice(-MAX_WORDS) })
  child.stdout?.setEncoding('utf8').on('data', createLineReader(take))
  return {
    write: (line) => { child.stdin?.write(`${JSON.stringify(line)}\n`) },
    pause: () => { child.stdout?.pause() },
    resume: () => { child.stdout?.resume() },
    hold,
    kill() {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        killGroup(child)
        late ??= setTimeout(() => {
          const sentence = `process ${child.pid} has not ended ${KILL_MS} ms after SIGKILL and is left behind`
          start.log(`${sentence}; look for what holds it, such as a debugger or a network folder that hangs`)
          abandon(child)
          giveUp(sentence)
        }, KILL_MS)
      }
      hold(true)
      child.stdout?.resume() // `close` waits for the end of output, paused or not
    },
    over: ended.then((reason) => [reason, ...toLastWords(words, start.secrets)].join(': ')),
  }
}

/** What one short call (`--version`, `auth status`) prints within 10 s; '' when it could not be started. */
export async function askClaude(file: string, args: string[], env: Environment): Promise<string> {
  const child = launch(file, args, env, undefined)
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (part: string) => { text = (text + part).slice(0, MAX_WORDS) })
  child.stderr?.resume()
  child.stdin?.on('error', () => {}).end()
  await once(child, 'close', { signal: AbortSignal.timeout(10_000) }).catch(() => {
    killGroup(child)
    abandon(child)
  })
  return text
}

function launch(file: string, args: string[], env: Environment, cwd: string | undefined): ChildProcess {
  // A group of its own: Ctrl-C in dario's terminal must not cut answers that dario still drains.
  const options = { env, cwd, stdio: 'pipe', windowsHide: true, detached: process.platform !== 'win32' } as const
  const shell = env['ComSpec'] ?? env['COMSPEC'] ?? 'cmd.exe' // L2: Node refuses to start a shim by itself
  const child = /\.(cmd|bat)$/i.test(file)
    ? start(shell, ['/d', '/s', '/c', toCommandLine(file, args)], { ...options, windowsVerbatimArguments: true })
    : start(file, args, options)
  child.on('error', () => {}) // L3: unheard, it would end dario
  child.on('exit', () => {
    killGroup(child) // what it started may hold its output, and `close` waits for that
    letGo(child)
  })
  return child
}

/** What Node throws (a variable that is too long, no memory for a fork) becomes an `error` event like the rest. */
function start(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  try {
    return spawn(file, args, options)
  } catch (error) {
    const child = new ChildProcess()
    process.nextTick(() => child.emit('error', error))
    return child
  }
}

/**
 * A busy child outlives our death and may ask the API once more, so a shell waits on a pipe that only we hold open.
 * In a session of its own, since the terminal's signals must not end it first. Windows: `set /p` waits in the same way.
 */
function startGuard(pid: number, folder: string): ChildProcess {
  const guard = process.platform === 'win32'
    ? start('cmd.exe', ['/d', '/c', `set /p x= & taskkill /f /t /pid ${pid} & rmdir /s /q "${folder}"`],
        { stdio: ['pipe', 'ignore', 'ignore'], windowsHide: true, windowsVerbatimArguments: true })
    : start('/bin/sh', ['-c', 'read x || { kill -9 -"$0"; sleep 0.2; rm -rf "$1"; }', String(pid), folder],
        { stdio: ['pipe', 'ignore', 'ignore'], detached: true, env: { PATH: '/usr/bin:/bin' } })
  guard.on('error', () => {}) // without a shell the child is still ended on every ordinary way out
  guard.stdin?.on('error', () => {})
  guard.unref()
  return guard
}

/** What left the group may hold the output of a program that is over, for ever: silence is its end then, or chatter. */
function letGo(child: ChildProcess): void {
  const { stdout } = child
  let isQuiet = false, chatter = 0
  stdout?.on('data', () => { isQuiet = false })
  const timer = setInterval(() => {
    if (isQuiet || chatter > MOST_CHATTER) abandon(child)
    isQuiet = stdout?.isPaused() !== true // a slow client has its answer still in there
    if (isQuiet) chatter++
  }, SILENCE).unref()
  child.on('close', () => clearInterval(timer))
}

/** Nothing waits for it any more. */
function abandon(child: ChildProcess): void {
  for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.destroy()
  child.unref()
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    if (process.platform === 'win32') child.kill('SIGKILL')
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // it ended by itself a moment ago
  }
}

/** NDJSON in any cutting. What is not an object in JSON is a stray print and is left out. */
export function createLineReader(take: (line: JsonObject) => void): (text: string) => void {
  let tail: string[] = [] // joined once per line: a line may be megabytes long
  let size = 0
  return function push(text) {
    const pieces = text.split('\n')
    for (const [index, piece] of pieces.entries()) {
      if ((size += piece.length) <= MAX_LINE) tail.push(piece)
      else tail = []
      if (index === pieces.length - 1) return // no line end yet
      const line = parseObject(tail.join(''))
      tail = []
      size = 0
      if (line !== undefined) take(line)
    }
  }
}

/** Eight lines as one, or none; redacted before they are cut, since a secret may have come in two pieces. */
function toLastWords(text: string, secrets: readonly string[]): string[] {
  let clean = text.replace(/\b(sk-|Bearer\s+|eyJ)[\w.~+/=-]{6,}/gi, '[redacted]')
  for (const secret of secrets) if (secret.length > 5) clean = clean.replaceAll(secret, '[redacted]')
  const lines = clean.split('\n').filter((line) => line.trim() !== '').slice(-8)
  return lines.length === 0 ? [] : [lines.join(' | ').slice(-2000)]
}
