/**
 * Is the program there, new enough and logged in? Asked through its own commands; both outcomes are cached briefly.
 * @module
 */
import { parseObject } from '../hub/json.ts'
import { askClaude } from './claude.ts'
import { findProgram } from './program.ts'
import type { Environment } from './program.ts'

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
const LOWEST_VERSION = '2.1.330'
const CACHE_MS = 60_000

/** `env`: what the program gets of `environment`. */
interface CheckOptions { command: string | undefined; environment: Environment; env: Environment; now: () => number }

/** Answers from the last result for a minute, so that neither doctor nor a list spawns a process each time (L10). */
export function createCheck(options: CheckOptions): () => Promise<PlanStatus> {
  let last: { at: number; status: Promise<PlanStatus> } | undefined
  return () => {
    if (last === undefined || Math.abs(options.now() - last.at) > CACHE_MS) last = { at: options.now(), status: look(options) }
    return last.status
  }
}

async function look({ command, environment, env }: CheckOptions): Promise<PlanStatus> {
  const program = findProgram(command, environment)
  const none = { program, version: undefined, loggedIn: undefined, login: undefined, ok: false }
  if (program === undefined) {
    return { ...none, hint: `${command ?? 'claude'} was not found; install Claude Code or set the backend's "command"` }
  }
  const [versionText, loginText] = await Promise.all([
    askClaude(program, ['--version'], env), askClaude(program, ['auth', 'status'], env),
  ])
  const version = /\d+\.\d+\.\d+/.exec(versionText)?.[0]
  if (version === undefined) {
    return { ...none, hint: `${program} --version did not answer with a version; reinstall Claude Code` }
  }
  // Nothing of an older program: the first request will tell.
  const { loggedIn, authMethod } = parseObject(loginText) ?? {}
  const found = {
    program, version,
    loggedIn: typeof loggedIn === 'boolean' ? loggedIn : undefined,
    login: typeof authMethod === 'string' ? authMethod : undefined,
  }
  if (loggedIn === false) return { ...found, ok: false, hint: 'not logged in; run "claude auth login"' }
  const isOld = version.localeCompare(LOWEST_VERSION, 'en', { numeric: true }) < 0
  const hint = `claude ${version} is older than ${LOWEST_VERSION}, the lowest that was tested; run "claude update"`
  return { ...found, ok: true, hint: isOld ? hint : undefined }
}
