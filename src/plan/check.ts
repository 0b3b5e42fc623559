/**
 * Is the program there, new enough and logged in? Asked through its own commands; both outcomes are cached briefly.
 * @module
 */
import { askClaude } from './claude.ts'

export interface PlanStatus {
  /** Full path of the program; undefined when it was not found. */
  program: string | undefined
  version: string | undefined
  /** undefined when the program did not say. */
  loggedIn: boolean | undefined
  /** The program's own word for the kind of login: `claude.ai`, `oauth_token`, `api_key`, `none`. */
  login: string | undefined
  /** Ready to serve. */
  ok: boolean
  /** One sentence with what to do; undefined when all is well. A warning where `ok` is true. */
  hint: string | undefined
}

/** The lowest version that passes our tests. */
export const LOWEST_VERSION = '2.1.330'
const CACHE_MS = 60_000

export interface CheckOptions {
  find(): string | undefined
  env: Record<string, string>
  command: string | undefined
  now: () => number
}

/** Answers from the last result for a minute, so that neither doctor nor a list spawns a process each time (L10). */
export function createCheck(options: CheckOptions): () => Promise<PlanStatus> {
  let last: { at: number; status: Promise<PlanStatus> } | undefined
  return () => {
    if (last === undefined || options.now() - last.at > CACHE_MS) last = { at: options.now(), status: look(options) }
    return last.status
  }
}

async function look({ find, env, command }: CheckOptions): Promise<PlanStatus> {
  const none = { program: undefined, version: undefined, loggedIn: undefined, login: undefined, ok: false }
  const program = find()
  if (program === undefined) {
    return { ...none, hint: `${command ?? 'claude'} was not found; install Claude Code or set the backend's "command"` }
  }
  const [versionText, loginText] = await Promise.all([
    askClaude(program, ['--version'], env), askClaude(program, ['auth', 'status'], env),
  ])
  const version = /\d+\.\d+\.\d+/.exec(versionText)?.[0]
  if (version === undefined) {
    return { ...none, program, hint: `${program} --version did not answer with a version; reinstall Claude Code` }
  }
  const login = readLogin(loginText)
  const found = { program, version, ...login }
  if (login.loggedIn === false) return { ...found, ok: false, hint: 'not logged in; run "claude auth login"' }
  if (!isOlder(version, LOWEST_VERSION)) return { ...found, ok: true, hint: undefined }
  const hint = `claude ${version} is older than ${LOWEST_VERSION}, the lowest that was tested; run "claude update"`
  return { ...found, ok: true, hint }
}

function readLogin(text: string): { loggedIn: boolean | undefined; login: string | undefined } {
  try {
    const status = JSON.parse(text) as Record<string, unknown> | null
    const loggedIn = status?.['loggedIn']
    const login = status?.['authMethod']
    return {
      loggedIn: typeof loggedIn === 'boolean' ? loggedIn : undefined,
      login: typeof login === 'string' ? login : undefined,
    }
  } catch {
    return { loggedIn: undefined, login: undefined } // an older program: the first request will tell
  }
}

function isOlder(version: string, lowest: string): boolean {
  const [a, b] = [version, lowest].map((text) => text.split('.').map(Number)) as [number[], number[]]
  for (let part = 0; part < 3; part++) if (a[part] !== b[part]) return (a[part] ?? 0) < (b[part] ?? 0)
  return false
}
