/**
 * What a command gets, and the configuration as commands read it.
 * @module
 */
import { join } from 'node:path'
import type { Discovered } from '../config/discovery.ts'
import { editConfig, readConfig } from '../config/file.ts'
import type { ConfigSource } from '../config/file.ts'
import { suggest } from '../config/nearest.ts'
import { isUnconfigured } from '../config/parse.ts'
import type { Config, ParsedConfig } from '../config/types.ts'
import { toHome } from '../config/values.ts'
import type { Environment } from '../config/values.ts'
import { DarioError } from '../errors.ts'
import { toFields } from '../hub/json.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import type { BackendStatus } from '../proxy.ts'
import { cleanText } from './output.ts'
import type { Output, PlanWindows } from './output.ts'

export interface CommandContext {
  positionals: readonly string[]
  values: Readonly<Record<string, string | boolean | undefined>>
  environment: Environment
  output: Output
}

/** Returns the exit code, nothing for 0; a usage error is 2. */
export type Command = (context: CommandContext) => Promise<number | void>

/** The command line itself is wrong: exit code 2. */
export function createUsageError(message: string): DarioError {
  return new DarioError('invalid_request', message)
}

export function text(context: CommandContext, option: string): string | undefined {
  const value = context.values[option]
  return typeof value === 'string' ? value : undefined
}

/** A comma-separated option, with one word at least. */
export function words(context: CommandContext, option: string): string[] | undefined {
  const list = text(context, option)?.split(',').map((word) => word.trim()).filter((word) => word !== '')
  if (list?.length === 0) throw createUsageError(`--${option} needs a value: one or more, comma-separated`)
  return list
}

/** What clients of this dario send, where it asks for a key. */
export function toAccessKey(environment: Environment): string | undefined {
  return environment['DARIO_ACCESS_KEY']?.trim() || undefined
}

/** With `--json` the value, else what `show` prints. */
export function answer({ output, values }: CommandContext, value: unknown, show: () => void): void {
  values['json'] === true ? output.json(value) : show()
}

/** `~/.dario/usage`, whichever configuration is used. */
export function toUsageFolder({ environment }: CommandContext): string {
  return join(toHome(environment), '.dario', 'usage')
}

/** Where tools of this machine reach the dario of this configuration. */
export function toUrl({ host = 'localhost', port }: Pick<Config, 'host' | 'port'>): string {
  if (port === 0) throw createUsageError('port 0 is any free port, which nobody can be told beforehand; choose one with --port')
  const name = /^(?:0\.0\.0\.0|127\.0\.0\.1|::1?)$/.test(host) ? 'localhost' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

export function toSource(context: CommandContext): ConfigSource {
  const { environment } = context
  const named = text(context, 'config') ?? (environment['DARIO_CONFIG']?.trim() || undefined)
  return {
    file: named ?? join(toHome(environment), '.dario', 'config.json'), isNamed: named !== undefined,
    environment,
    flags: { host: text(context, 'host'), port: text(context, 'port') },
  }
}

export function loadConfig(context: CommandContext): ParsedConfig {
  const parsed = readConfig(toSource(context))
  for (const warning of parsed.warnings) warn(context, warning)
  return parsed
}

/** Edits the file, and tells what that leaves to be warned of: a budget of a route that went. */
export async function edit(context: CommandContext, change: (json: JsonObject) => void): Promise<Config> {
  const { config, warnings } = await editConfig(toSource(context), change)
  for (const warning of warnings) warn(context, warning)
  return config
}

/** Edits a list of the file, together with the names of its items: routes go by `model`, access keys by `name`. */
export async function editList(
  context: CommandContext, list: 'routes' | 'accessKeys', change: (items: Json[], names: string[]) => void,
): Promise<void> {
  await edit(context, (json) => {
    const items = json[list] ??= []
    if (!Array.isArray(items)) return // which is then refused with its place
    const member = list === 'routes' ? 'model' : 'name'
    change(items, items.map((item, index) => String(toFields(item)[member] ?? `${list}[${index}]`))) // as `key list` says
  })
}

/** @throws DarioError `not_found` */
export function findName(name: string, names: readonly string[], problem: string, otherwise: string): number {
  const at = names.indexOf(name)
  if (at !== -1) return at
  throw new DarioError('not_found', suggest(problem, name, names, otherwise))
}

export interface Assembled {
  config: Config
  /** What was looked for; undefined when the user wrote backends of their own. */
  discovered: Discovered | undefined
}

/** The configuration that dario would serve now: the user's, or what is found on this machine. */
export async function assemble(context: CommandContext, parsed: ParsedConfig = loadConfig(context)): Promise<Assembled> {
  const { config } = parsed
  if (!isUnconfigured(config)) return { config, discovered: undefined }
  const { surveyMachine } = await import('../survey.ts') // who has a configuration starts without it
  const discovered = await surveyMachine(context.environment, config.port)
  return { config: { ...config, backends: discovered.backends }, discovered }
}

/** `windows`: a plan's limits, as its program last reported them there. */
type Told = Pick<BackendStatus, 'id' | 'keys'> & { windows?: PlanWindows }

export interface Running {
  url: string
  version: string
  /** By name, as they are now; empty when that dario wants another access key than DARIO_ACCESS_KEY. */
  backends: ReadonlyMap<string, Told>
}

/** The dario that answers at this address, if one does: the truth on keys is there, not in the file (pitfall W12). */
export async function findRunning(config: Pick<Config, 'host' | 'port'>, environment: Environment): Promise<Running | undefined> {
  if (config.port === 0) return undefined
  const url = toUrl(config)
  const key = toAccessKey(environment)
  try {
    const headers: Record<string, string> = key ? { 'x-api-key': key } : {}
    const response = await fetch(`${url}/health`, { headers, signal: AbortSignal.timeout(1_000), redirect: 'error' })
    const { name, version, backends = [] } = (await response.json()) as { name?: unknown; version?: unknown; backends?: Told[] }
    if (name !== 'dario') return undefined
    return { url, version: cleanText(String(version)), backends: new Map(backends.map((backend) => [backend.id, backend])) }
  } catch {
    return undefined
  }
}

/** Before tools are told of a dario that would refuse their requests. */
export function warnOfKey(context: CommandContext, { accessKeys }: Config, running?: Running): void {
  const isOpen = running === undefined ? accessKeys.length === 0 || toAccessKey(context.environment) !== undefined : running.backends.size > 0
  if (!isOpen) warn(context, 'dario wants an access key that it knows; put it into DARIO_ACCESS_KEY and do this again')
}

export function warn({ output }: CommandContext, message: string): void {
  output.note(output.style('yellow', `warning: ${cleanText(message)}`))
}
