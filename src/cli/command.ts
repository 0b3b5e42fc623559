/**
 * What a command gets, and the configuration as commands read it.
 * @module
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { defaultConfigPath, isUnconfigured } from '../config/parse.ts'
import type { Config, ParsedConfig } from '../config/types.ts'
import type { Environment } from '../config/values.ts'
import { readConfig } from '../config/file.ts'
import type { ConfigSource } from '../config/file.ts'
import type { Discovered } from '../config/discovery.ts'
import { DarioError } from '../errors.ts'
import type { BackendStatus } from '../proxy.ts'
import { cleanText } from './output.ts'
import type { PlanWindows } from './plan.ts'
import type { Output } from './output.ts'

export interface CommandContext {
  /** Full name: `backend add`. */
  name: string
  positionals: readonly string[]
  values: Readonly<Record<string, string | boolean | undefined>>
  environment: Environment
  output: Output
}

/** Returns the exit code: 0 or 1; a `UsageError` is 2. */
export type Command = (context: CommandContext) => Promise<number>

/** The command line itself is wrong: exit code 2. */
export function createUsageError(message: string): DarioError {
  return new DarioError('invalid_request', message)
}

export function text(context: CommandContext, option: string): string | undefined {
  const value = context.values[option]
  return typeof value === 'string' ? value : undefined
}

function toHome({ environment }: CommandContext): string {
  return environment['HOME'] ?? environment['USERPROFILE'] ?? homedir()
}

/** `~/.dario/usage`, whichever configuration is used. */
export function toUsageFolder(context: CommandContext): string {
  return join(toHome(context), '.dario', 'usage')
}

export function toSource(context: CommandContext): ConfigSource {
  const { environment } = context
  return {
    file: text(context, 'config') ?? defaultConfigPath(environment, toHome(context)),
    environment,
    flags: { host: text(context, 'host'), port: text(context, 'port') },
  }
}

export function loadConfig(context: CommandContext): ParsedConfig {
  const parsed = readConfig(toSource(context))
  for (const warning of parsed.warnings) warn(context, warning)
  return parsed
}

export interface Assembled {
  config: Config
  /** What was looked for; undefined when the user wrote backends of their own. */
  discovered: Discovered | undefined
  file: string
}

/** The configuration that dario would serve now: the user's, or what is found on this machine. */
export async function assemble(context: CommandContext, parsed: ParsedConfig = loadConfig(context)): Promise<Assembled> {
  const { config } = parsed
  const { file } = toSource(context)
  if (!isUnconfigured(config)) return { config, discovered: undefined, file }
  const { surveyMachine } = await import('../survey.ts') // who has a configuration starts without it
  const discovered = await surveyMachine(context.environment, config.port)
  return { config: { ...config, backends: discovered.backends }, discovered, file }
}

type Told = Pick<BackendStatus, 'id' | 'keys'> & { windows?: PlanWindows }

export interface Running {
  url: string
  version: string
  /** Each backend's keys as they are now; empty when that dario wants another access key than DARIO_ACCESS_KEY. */
  keys: ReadonlyMap<string, BackendStatus['keys']>
  /** Each plan's limits, as its program last reported them there. */
  windows: ReadonlyMap<string, PlanWindows | undefined>
}

/** The dario that answers on this port, if one does: the truth on keys is there, not in the file (pitfall W12). */
export async function findRunning(port: number, environment: Environment = {}): Promise<Running | undefined> {
  if (port === 0) return undefined
  const url = `http://localhost:${port}`
  const key = environment['DARIO_ACCESS_KEY']?.trim()
  try {
    const headers: Record<string, string> = key ? { 'x-api-key': key } : {}
    const response = await fetch(`${url}/health`, { headers, signal: AbortSignal.timeout(1_000), redirect: 'error' })
    const body = (await response.json()) as { name?: unknown; version?: unknown; backends?: Told[] } | null
    if (body?.name !== 'dario') return undefined
    const { version, backends = [] } = body
    return {
      url, version: cleanText(String(version)),
      keys: new Map(backends.map(({ id, keys }) => [id, keys])), windows: new Map(backends.map(({ id, windows }) => [id, windows])),
    }
  } catch {
    return undefined
  }
}

/** What a tool without models of its own is told to ask for, best first; anything listed is better than nothing. */
const PREFERRED = [/^claude.*sonnet/, /^claude/, /^gpt-5/, /^gpt/, /^(?!echo\b)/, /^echo$/]

/**
 * The model that a tool gets: the one that was asked for, else, unless it brings its own, one that dario lists. Backends
 * without a list are reached by the routes, whatever the name.
 * @throws DarioError `invalid_request` for a name that settings files cannot carry.
 */
export async function chooseModel(
  ask: (request: Request) => Promise<Response>, root: string, key: string | undefined, asked: string | undefined, own: boolean,
): Promise<string | undefined> {
  if (asked !== undefined && !/^[\w.:@/+[\]-]+$/.test(asked)) throw createUsageError(`--model ${JSON.stringify(asked)} cannot be the name of a model`)
  if (asked !== undefined || own) return asked
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const answer = await ask(new Request(`${root}/v1/models`, { headers, signal: AbortSignal.timeout(15_000) }))
  const list = ((await answer.json()) as { data?: { id?: unknown }[] } | null)?.data ?? []
  const names = list.map(({ id }) => String(id)).filter((id) => /^[\w.:@/+[\]-]+$/.test(id))
  return PREFERRED.flatMap((pattern) => names.find((name) => pattern.test(name)) ?? []).at(0) ?? 'claude-sonnet-4-5'
}

export function warn({ output }: CommandContext, message: string): void {
  output.note(output.style('yellow', `warning: ${cleanText(message)}`))
}
