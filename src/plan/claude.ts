/**
 * The official `claude` program as a child process: finding it, argv, environment, lines in and out, its end.
 * The only caller of `spawn`. The program is run unmodified; its own files and credentials are never read or written.
 * https://docs.anthropic.com/en/docs/claude-code/cli-reference
 * @module
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { DarioError } from '../errors.ts'
import { isObject } from './history.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Settings } from './request.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Where a run's private files lie. */
export interface RunFiles {
  /** Deleted with everything in it when the run ends. */
  folder: string
  system: string
  mcp: string
  /** Transcript to resume from. */
  history: string | undefined
}

export interface Claude {
  write(line: JsonObject): void
  /** Stops and restarts reading its output: a client that reads slowly slows the answer down. */
  pause(): void
  resume(): void
  /** SIGKILL to the process and all it started. */
  kill(): void
  /** Last lines of stderr, redacted; '' when there were none. */
  lastWords(): string
}

export interface ClaudeEvents {
  line(line: JsonObject): void
  /** Called once, also when it could not be started. */
  exit(reason: string): void
}

/**
 * What of dario's environment the program may see: enough to find its login, the network and the user's language.
 * No ANTHROPIC_*: a key would change who pays, a base URL could point back at us (pitfall L9).
 */
const PASSED = new Set(('PATH HOME USER LOGNAME SHELL LANG LANGUAGE LC_ALL LC_CTYPE TZ HTTP_PROXY HTTPS_PROXY ALL_PROXY '
  + 'NO_PROXY NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR XDG_CONFIG_HOME XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS '
  + 'SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE USERNAME HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA '
  + 'PROGRAMDATA PROGRAMFILES CLAUDE_CODE_GIT_BASH_PATH').split(' '))

/** The program's documented switches that keep it from doing more than one request per turn or reading local files. */
const SWITCHES = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  CLAUDE_CODE_MAX_RETRIES: '0',
  CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK: '1', // it would ask again and print the whole answer at once
  CLAUDE_CODE_DISABLE_REFUSAL_RETRY: '1',
  CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK: '1',
  CLAUDE_CODE_DISABLE_ATTACHMENTS: '1', // `@path` in a user's text would read files of this machine
  CLAUDE_CODE_DISABLE_AUTO_MEMORY: '1',
  CLAUDE_CODE_DISABLE_CLAUDE_MDS: '1',
  CLAUDE_CODE_MAX_CONTEXT_TOKENS: '2000000', // with the next: no compaction, and no refusal of its own at 180,000
  DISABLE_COMPACT: '1',
  DISABLE_AUTOUPDATER: '1',
  CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH: '1000000', // else tool descriptions are cut at 4,096 characters
  ENABLE_TOOL_SEARCH: 'false',
} as const

/** Full path of the program, or undefined. On Windows a real exe wins over a `.cmd` shim of the same folder. */
export function findProgram(command: string | undefined, environment: Environment, platform: string): string | undefined {
  const name = command ?? 'claude'
  const windows = platform === 'win32'
  const bare = !/[/\\]/.test(name)
  const path = environment['PATH'] ?? environment['Path'] ?? ''
  const folders = bare ? path.split(windows ? ';' : delimiter).filter((folder) => folder !== '') : ['']
  const endings = windows && !/\.(exe|com|cmd|bat)$/i.test(name) ? ['.exe', '.com', '.cmd', '.bat'] : ['']
  for (const folder of folders) {
    for (const ending of endings) {
      const file = (folder === '' ? name : join(folder, name)) + ending
      if (isRunnable(file)) return file
    }
  }
  return undefined
}

function isRunnable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/** Nothing of a prompt is in here: argv is visible to every user of the machine and has a length limit (L1). */
export function toArguments(settings: Settings, files: RunFiles): string[] {
  return [
    '-p', '--input-format', 'stream-json', '--output-format', 'stream-json', '--include-partial-messages', '--verbose',
    '--model', settings.model, '--system-prompt-file', files.system, '--tools', '', '--strict-mcp-config',
    '--mcp-config', files.mcp, '--allowedTools', 'mcp__dario', '--setting-sources', '', '--no-session-persistence',
    '--disable-slash-commands',
    ...(settings.effort === undefined ? [] : ['--effort', settings.effort]),
    ...(files.history === undefined ? [] : ['--resume', files.history]),
  ]
}

/** What every call of the program gets; `extra` (the backend's `env`) wins. */
export function toEnvironment(environment: Environment, configDir: string | undefined, extra: Environment): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && PASSED.has(name.toUpperCase())) env[name] = value
  }
  // The bridge is on loopback: added, never overwritten (X7).
  const direct = environment['NO_PROXY'] ?? environment['no_proxy']
  env['NO_PROXY'] = env['no_proxy'] = direct === undefined || direct === '' ? '127.0.0.1' : `${direct},127.0.0.1`
  Object.assign(env, SWITCHES)
  if (configDir !== undefined) env['CLAUDE_CONFIG_DIR'] = configDir
  for (const [name, value] of Object.entries(extra)) if (value !== undefined) env[name] = value
  return env
}

/** What one run gets besides. */
export function toRunEnvironment(settings: Settings, files: RunFiles): Record<string, string> {
  return {
    TMPDIR: join(files.folder, 'tmp'), TMP: join(files.folder, 'tmp'), TEMP: join(files.folder, 'tmp'),
    XDG_CACHE_HOME: join(files.folder, 'cache'),
    ...(settings.maxTokens === undefined ? {} : { CLAUDE_CODE_MAX_OUTPUT_TOKENS: String(settings.maxTokens) }),
    ...(settings.thinking === undefined ? {} : { MAX_THINKING_TOKENS: settings.thinking }),
    ...(files.history === undefined ? {} : { CLAUDE_CODE_RESUME_INTERRUPTED_TURN: '1' }),
  }
}

export interface Start {
  file: string
  args: string[]
  env: Record<string, string>
  cwd: string
  folder: string
  /** Never to be seen in what `lastWords` returns. */
  secrets: string[]
}

/** Starts it, with a guard that ends it and deletes `folder` when this process dies, however it dies. */
export function startClaude(start: Start, events: ClaudeEvents): Claude {
  const child = launch(start.file, start.args, start.env, start.cwd)
  const words: string[] = []
  let over = false
  const guard = child.pid === undefined ? undefined : startGuard(child.pid, start.folder)
  const end = (reason: string): void => {
    if (over) return
    over = true
    guard?.kill('SIGKILL')
    events.exit(reason)
  }
  child.on('error', (error) => end(`could not be started: ${error.message}`)) // L3: unheard, it would end dario
  child.on('close', (code, signal) => end(signal === null ? `exit code ${code ?? '?'}` : `signal ${signal}`))
  child.stdin?.on('error', () => {}) // it closed its end: `close` follows and says why
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words.push(...text.split('\n').filter((line) => line.trim() !== ''))
    words.splice(0, words.length - 8)
  })
  const push = createLineReader(events.line)
  child.stdout?.setEncoding('utf8').on('data', push)
  return {
    write: (line) => { child.stdin?.write(`${JSON.stringify(line)}\n`) },
    pause: () => { child.stdout?.pause() },
    resume: () => { child.stdout?.resume() },
    kill() {
      if (!over) killGroup(child)
      child.stdout?.resume() // `close` waits for the end of output, paused or not
    },
    lastWords: () => redact(words.join(' | '), start.secrets),
  }
}

/** One short call (`--version`, `auth status`); `code` is undefined when it could not be started or took over 10 s. */
export async function askClaude(file: string, args: string[], env: Record<string, string>): Promise<{ code: number | undefined; text: string }> {
  return await new Promise((resolve) => {
    const child = launch(file, args, env, undefined)
    let text = ''
    const late = setTimeout(() => killGroup(child), 10_000)
    const end = (code: number | undefined): void => {
      clearTimeout(late)
      resolve({ code, text })
    }
    child.stdout?.setEncoding('utf8').on('data', (part: string) => { text += part })
    child.stderr?.resume()
    child.stdin?.on('error', () => {}).end()
    child.on('error', () => end(undefined))
    child.on('close', (code) => end(code ?? undefined))
  })
}

function launch(file: string, args: string[], env: Record<string, string>, cwd: string | undefined): ChildProcess {
  // A group of its own: Ctrl-C in dario's terminal must not cut answers that dario still drains.
  const options = { env, cwd, stdio: 'pipe', windowsHide: true, detached: process.platform !== 'win32' } as const
  if (!/\.(cmd|bat)$/i.test(file)) return spawn(file, args, options)
  const line = toCommandLine(file, args) // L2: Node refuses to start a shim by itself
  return spawn(env['ComSpec'] ?? env['COMSPEC'] ?? 'cmd.exe', ['/d', '/s', '/c', line], { ...options, windowsVerbatimArguments: true })
}

/** For `cmd /d /s /c`. Arguments are escaped twice, since the shim hands them to a second command line. */
export function toCommandLine(file: string, args: readonly string[]): string {
  const quote = (text: string): string => `"${text.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\*)$/, '$1$1')}"`
  const escape = (text: string): string => text.replace(/[()[\]%!^"`<>&|;, *?]/g, '^$&')
  return `"${[escape(quote(file)), ...args.map((arg) => escape(escape(quote(arg))))].join(' ')}"`
}

/**
 * A busy child outlives our death and may ask the API once more, so a shell waits on a pipe that only we hold open.
 * In a session of its own, since the terminal's signals must not end it first. Windows: `set /p` waits in the same way.
 */
function startGuard(pid: number, folder: string): ChildProcess {
  const guard = process.platform === 'win32'
    ? spawn('cmd.exe', ['/d', '/c', `set /p x= & taskkill /f /t /pid ${pid} & rmdir /s /q "${folder}"`],
        { stdio: ['pipe', 'ignore', 'ignore'], windowsHide: true, windowsVerbatimArguments: true })
    : spawn('/bin/sh', ['-c', 'read x || { kill -9 -"$0"; sleep 0.2; rm -rf "$1"; }', String(pid), folder],
        { stdio: ['pipe', 'ignore', 'ignore'], detached: true, env: { PATH: '/usr/bin:/bin' } })
  guard.on('error', () => {}) // without a shell the child is still ended on every ordinary way out
  guard.stdin?.on('error', () => {})
  guard.unref()
  return guard
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
  const tail: string[] = [] // joined once per line: a line may be megabytes long
  return function push(text) {
    let from = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', from)) {
      tail.push(text.slice(from, end))
      from = end + 1
      const line = parseLine(tail.splice(0).join(''))
      if (line !== undefined) take(line)
    }
    if (from < text.length) tail.push(text.slice(from))
  }
}

function parseLine(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function redact(text: string, secrets: readonly string[]): string {
  let clean = text.replace(/\b(sk-|Bearer\s+|eyJ)[\w.~+/=-]{6,}/gi, '[redacted]')
  for (const secret of secrets) if (secret.length > 5) clean = clean.replaceAll(secret, '[redacted]')
  return clean.slice(-2000)
}

export function missingProgram(command: string | undefined): DarioError {
  const what = command === undefined ? 'the claude program is not on PATH' : `${command} is not a program`
  return new DarioError('upstream_unreachable', `${what}; install Claude Code or set the backend's "command" to its full path`)
}
