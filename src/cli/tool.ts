/**
 * What a tool is, where it and its settings are on this machine, and how the templates in `tools.ts` are filled.
 * @module
 */
import { existsSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { toHome } from '../config/values.ts'
import type { Environment } from '../config/values.ts'
import type { DialectName } from '../hub/types.ts'
import { createUsageError } from './command.ts'

/** Text with `{root}`, `{v1}`, `{key}`, `{model}`, `{dir}` (a run's own folder); what needs a model goes when there is none. */
export type Template = string | number | boolean | readonly Template[] | { readonly [name: string]: Template }

export interface SettingsFile {
  /** Variable that names the folder, the folder without it, the file; one with the last name that exists is preferred. */
  file: readonly [variable: string, folder: string, ...names: string[]]
  /** Members to set, objects merged (comments stay); or text between marks: `top` goes before the first table or key. */
  json?: Template
  top?: string
  bottom?: string
}

export interface Tool {
  title: string
  /** Command in PATH; undefined for desktop tools and libraries. */
  program?: string
  /** What it speaks best with; dario translates to whatever the backend speaks. */
  speaks: DialectName
  /** It has model names of its own that dario's built-in routes know; `--model` replaces them all, small ones too. */
  models?: string
  /** Besides the variables of `dario env`; '' unsets. An object becomes JSON. */
  env?: Readonly<Record<string, Template>>
  /** Groups before the user's arguments; `--model|-m` gives way when the user says one of them. */
  args?: readonly (readonly string[])[]
  /** Files of one run, by their name in `{dir}`. */
  files?: Readonly<Record<string, Template>>
  settings?: readonly SettingsFile[]
  /** By hand: where the address, the key and the model go. */
  steps?: string
  limits?: string
  /** A native binary, also behind its npm launcher: out of the shim's reach. */
  native?: true
  source: string
}

export interface Values { root: string; key: string; model: string | undefined; dir?: string }

/** undefined: it needs a model, and none is given. */
export function fill(template: Template, values: Values): Template | undefined {
  if (typeof template === 'string') {
    const all: Record<string, string | undefined> = { ...values, v1: `${values.root}/v1` }
    const lines = template.includes('\n') ? template.match(/.*\n?/g) ?? [] : [template]
    const kept = lines.filter((line) => values.model !== undefined || !line.includes('{model}'))
    return kept.length === 0 ? undefined : kept.join('').replace(/\{(root|v1|key|model|dir)\}/g, (_, name: string) => all[name] ?? '')
  }
  if (Array.isArray(template)) {
    const items = template.map((item: Template) => fill(item, values))
    return items.includes(undefined) ? undefined : (items as Template[])
  }
  if (typeof template !== 'object') return template
  const members = Object.entries(template).map(([name, value]) => [fill(name, values), fill(value, values)])
  return Object.fromEntries(members.filter((member) => !member.includes(undefined))) as Template
}

const MODEL_NAME = /^[\w.:@/+[\]-]+$/
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
  if (asked !== undefined && !MODEL_NAME.test(asked)) throw createUsageError(`--model ${JSON.stringify(asked)} cannot be the name of a model`)
  if (asked !== undefined || own) return asked
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const request = new Request(`${root}/v1/models`, { headers, signal: AbortSignal.timeout(15_000) })
  const list = await ask(request).then((answer) => answer.json() as Promise<{ data?: { id?: unknown }[] } | null>).catch(() => null)
  const names = (list?.data ?? []).map(({ id }) => String(id)).filter((id) => MODEL_NAME.test(id))
  return PREFERRED.flatMap((pattern) => names.find((name) => pattern.test(name)) ?? []).at(0) ?? 'claude-sonnet-4-5'
}

/** Where a tool keeps its settings on this machine. */
export function locate({ file: [variable, folder, ...names] }: SettingsFile, environment: Environment): string[] {
  const base = environment[variable]?.trim() || join(toHome(environment), folder.slice(1))
  return names.map((name) => join(base, name))
}

/** The file that a command names, as the system would find it. */
export function findProgram(command: string, environment: Environment): string | undefined {
  const suffixes = ['', ...(process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [])]
  const folders = basename(command) === command ? (environment['PATH'] ?? '').split(delimiter) : ['']
  return folders.flatMap((folder) => suffixes.map((suffix) => join(folder, command + suffix))).find((path) => existsSync(path))
}
