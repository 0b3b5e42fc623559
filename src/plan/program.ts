/**
 * How the official `claude` program is called: where it is, argv, environment, the private files of a run.
 * The program is run unmodified; its own files and credentials are never read or written.
 * https://docs.anthropic.com/en/docs/claude-code/cli-reference
 * @module
 */
import { accessSync, constants, statSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { makeFolder } from '../config/folder.ts'
import type { Settings } from './request.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A run's private files. */
const SYSTEM = 'system.txt', MCP = 'mcp.json', HISTORY = 'history.jsonl'

/**
 * What of dario's environment the program may see: enough to find its login, the network and the user's language.
 * No ANTHROPIC_*: a key would change who pays, a base URL could point back at us (pitfall L9).
 */
const PASSED = new Set(('PATH HOME USER LOGNAME SHELL LANG LANGUAGE LC_ALL LC_CTYPE TZ HTTP_PROXY HTTPS_PROXY '
  + 'ALL_PROXY NO_PROXY NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR XDG_CONFIG_HOME XDG_RUNTIME_DIR '
  + 'DBUS_SESSION_BUS_ADDRESS SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE USERNAME HOMEDRIVE HOMEPATH '
  + 'APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES CLAUDE_CODE_GIT_BASH_PATH').split(' '))

/** The program's own switches that keep it from doing more than one request per turn or reading local files. */
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
export function findProgram(
  name = 'claude', environment: Environment, platform: string = process.platform,
): string | undefined {
  const windows = platform === 'win32'
  const path = environment['PATH'] ?? environment['Path'] ?? ''
  const folders = path.split(windows ? ';' : delimiter).filter((folder) => folder !== '')
  const endings = windows && !/\.(exe|com|cmd|bat)$/i.test(name) ? ['.exe', '.com', '.cmd', '.bat'] : ['']
  const files = /[/\\]/.test(name) ? [toPath(name, environment)] : folders.map((folder) => resolve(folder, name))
  return files.flatMap((file) => endings.map((ending) => file + ending)).find(isRunnable)
}

/** A path of the configuration in full, since the program starts in another folder than dario. */
function toPath(text: string, environment: Environment): string {
  return resolve(text.replace(/^~(?=[/\\]|$)/, () => environment['HOME'] || environment['USERPROFILE'] || homedir()))
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
export function toArguments({ model, effort }: Settings, folder: string, resumes: boolean): string[] {
  return [
    '-p', '--input-format', 'stream-json', '--output-format', 'stream-json', '--include-partial-messages', '--verbose',
    '--model', model, '--system-prompt-file', join(folder, SYSTEM), '--tools', '', '--strict-mcp-config',
    '--mcp-config', join(folder, MCP), '--allowedTools', 'mcp__dario', '--setting-sources', '',
    '--no-session-persistence', '--disable-slash-commands',
    ...(effort === undefined ? [] : ['--effort', effort]),
    ...(resumes ? ['--resume', join(folder, HISTORY)] : []),
  ]
}

/** What every call of the program gets; `extra` (the backend's `env`) wins. */
export function toEnvironment(
  environment: Environment, configDir: string | undefined, extra: Environment,
): Environment {
  // The bridge is on loopback: added, never overwritten (X7).
  const others = environment['NO_PROXY'] || environment['no_proxy']
  const direct = others ? `${others},127.0.0.1` : '127.0.0.1'
  return {
    ...Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED.has(name.toUpperCase()))),
    NO_PROXY: direct, no_proxy: direct,
    ...SWITCHES,
    ...(configDir === undefined ? {} : { CLAUDE_CONFIG_DIR: toPath(configDir, environment) }),
    ...extra,
  }
}

/** What one run gets besides. */
export function toRunEnvironment({ maxTokens, thinking }: Settings, folder: string, resumes: boolean): Environment {
  const temp = join(folder, 'tmp')
  return {
    TMPDIR: temp, TMP: temp, TEMP: temp, XDG_CACHE_HOME: join(folder, 'cache'),
    CLAUDE_CODE_MAX_OUTPUT_TOKENS: maxTokens?.toString(),
    MAX_THINKING_TOKENS: thinking,
    CLAUDE_CODE_RESUME_INTERRUPTED_TURN: resumes ? '1' : undefined,
  }
}

/** Returns the run's folder, for `removeFiles` when it ends. @throws Error of the file system; nothing is left then. */
export async function writeFiles(
  temp: string, system: string, door: { url: string; bearer: string } | undefined, transcript: string | undefined,
): Promise<string> {
  const folder = await mkdtemp(resolve(temp, 'dario-plan-')) // 0700
  const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text, { mode: 0o600 })
  // Without the time a call fails after 60 s, and after 300 s without progress: a person may be asked for permission.
  const headers = { authorization: `Bearer ${door?.bearer}` }
  const server = door && { type: 'http', url: door.url, headers, timeout: 86_400_000 }
  try {
    await Promise.all([
      write(SYSTEM, system),
      write(MCP, JSON.stringify({ mcpServers: { dario: server } })),
      transcript === undefined ? undefined : write(HISTORY, transcript),
      mkdir(join(folder, 'tmp')), mkdir(join(folder, 'cache')),
    ])
    return folder
  } catch (cause) {
    await removeFiles(folder)
    throw cause
  }
}

/** What cannot be deleted (a virus scanner holds it) stays in the system's temporary folder. */
export async function removeFiles(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {})
}

/** One fixed, empty, private folder per backend: its path is in the prompt, a changing one would spoil the cache. */
export function createPlace(environment: Environment, id: string): string {
  const folder = toPath(`~/.dario/plan/${id.replace(/[^\w-]/g, '_')}`, environment)
  makeFolder(folder)
  return folder
}

/** For `cmd /d /s /c`. Arguments are escaped twice, since the shim hands them to a second command line. */
export function toCommandLine(file: string, args: readonly string[]): string {
  const quote = (text: string): string => `"${text.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\*)$/, '$1$1')}"`
  const escape = (text: string): string => text.replace(/[()[\]%!^"`<>&|;, *?]/g, '^$&')
  return `"${[escape(quote(file)), ...args.map((arg) => escape(escape(quote(arg))))].join(' ')}"`
}
