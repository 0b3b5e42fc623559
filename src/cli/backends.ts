/**
 * `dario backend list|add|remove|test`. A key goes into the file and is never printed again.
 * @module
 */
import { createInterface } from 'node:readline/promises'
import { text as readAll } from 'node:stream/consumers'
import { BACKEND_NAME, readDialects, readType } from '../config/backend.ts'
import { readConfig } from '../config/file.ts'
import { KNOWN_BACKENDS } from '../config/known.ts'
import type { KnownBackend } from '../config/known.ts'
import { suggest } from '../config/nearest.ts'
import type { BackendConfig, Config } from '../config/types.ts'
import { readBaseUrl } from '../config/values.ts'
import type { Environment } from '../config/values.ts'
import { DarioError } from '../errors.ts'
import { createRedactor } from '../observe/redact.ts'
import type { JsonObject } from '../hub/types.ts'
import { createProxy, describeKey } from '../proxy.ts'
import type { BackendStatus } from '../proxy.ts'
import { askClaude, askServer } from '../survey.ts'
import { answer, assemble, createUsageError, edit, findName, findRunning, text, toSource, words } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText, describePlan } from './output.ts'

const PROBE_MS = 5_000 // a server may have to wake up first
const PATIENCE = 1_000 // ms until a script is told what it waits for

export const listBackends: Command = async (context) => {
  const { output, environment } = context
  const { config, discovered } = await assemble(context)
  const running = await findRunning(config, environment)
  const backends = await Promise.all(Object.entries(config.backends).map(async ([name, backend]) => {
    const { type, baseUrl, speaks, keys, discovered: found } = backend
    const plan = type === 'claude-code' ? { ...await askClaude(environment, backend), windows: running?.backends.get(name)?.windows ?? [] } : undefined
    return { name, type, baseUrl, speaks, keys: keys.map(({ label }) => label), states: running?.backends.get(name)?.keys, plan, discovered: found }
  }))
  answer(context, { running: running?.url, backends }, () => {
    output.table([['NAME', 'TYPE', 'SPEAKS', 'KEYS', 'ADDRESS'], ...backends.map(({ name, type, baseUrl, speaks, keys, states, plan }) => {
      const told = plan === undefined ? states?.map(describeKey) ?? keys : [describePlan(plan, plan.windows)]
      return [name, type, speaks.join(', '), told.map(cleanText).join('; ') || '-', cleanText(baseUrl ?? plan?.program ?? '-')]
    })])
    for (const { name, plan } of backends) if (plan?.hint !== undefined) output.note(`${name}: ${cleanText(plan.hint)}`)
    const source = discovered === undefined ? 'the configuration' : 'what is found on this machine'
    output.note(running === undefined ? `dario does not run, so this is ${source}` : `keys as the dario at ${running.url} knows them`)
    if (discovered !== undefined) output.note('no backend is configured yet: dario backend add NAME')
  })
}

export const addBackend: Command = async (context) => {
  const { output, positionals: [name = ''] } = context
  if (!BACKEND_NAME.test(name)) {
    throw createUsageError(`"${name}" cannot be a name: use lower-case letters, digits, - and _, beginning with a letter or digit`)
  }
  const known = Object.hasOwn(KNOWN_BACKENDS, name) ? KNOWN_BACKENDS[name] : undefined
  const written = findWritten(context, name)
  const type = readType(text(context, 'type') ?? written?.type ?? (name === 'plan' ? 'claude-code' : name === 'echo' ? 'echo' : known?.type ?? 'openai'), '--type')
  const local = type === 'claude-code' || type === 'echo'
  const given = text(context, 'base-url')
  const baseUrl = given === undefined ? written?.baseUrl ?? known?.baseUrl : readBaseUrl(given, '--base-url')
  if (baseUrl === undefined && type === 'openai') {
    const problem = `${name} is not a known name, so it needs --base-url=URL`
    throw createUsageError(suggest(problem, name, Object.keys(KNOWN_BACKENDS), undefined, (near) => near))
  }
  const key = local ? undefined : await readKey(context, known, written)
  const speaks = local ? undefined : await readSpeaks(context, type, given === undefined && written !== undefined ? undefined : baseUrl, key)
  const backend: JsonObject = { type, ...(!local && baseUrl && { baseUrl }), ...(key && { keys: [key] }), ...(speaks && { speaks }) }
  const config = await edit(context, (json) => {
    const present = (json['backends'] ??= {}) as JsonObject
    if (typeof present !== 'object') return // which is then refused with its place
    if (Object.keys(present).length === 0) noteEndOfDiscovery(context, name)
    const entry = present[name] as JsonObject | undefined
    if (key && Array.isArray(entry?.['keys']) && entry['keys'].length > 1) {
      throw new DarioError('conflict', `${name} has ${entry['keys'].length} keys; change "keys" in ${toSource(context).file}`)
    }
    present[name] = { ...entry, ...backend }
    if (context.values['no-key'] === true) delete present[name]['keys']
  })
  const added = config.backends[name] as BackendConfig
  const keys = added.keys.map(({ label }) => label)
  answer(context, { name, type, baseUrl: added.baseUrl, speaks: added.speaks, keys }, () => {
    const where = added.baseUrl === undefined ? '' : ` at ${added.baseUrl}`
    output.line(`backend ${name} added: ${type}${where}, speaks ${added.speaks.join(', ')}, ${keys.length === 0 ? 'no key' : 'with a key'}`)
    output.note(`try it: dario backend test ${name}`)
  })
}

/** As the file has it; what is wrong with the file, the edit tells. */
function findWritten(context: CommandContext, name: string): BackendConfig | undefined {
  try {
    const found = readConfig(toSource(context)).config.backends[name]
    return found?.discovered === true ? undefined : found
  } catch {
    return undefined
  }
}

/** From the first configured backend on, the file is the whole truth; say so rather than let a backend vanish. */
function noteEndOfDiscovery({ environment, output }: CommandContext, added: string): void {
  const lost = Object.entries(KNOWN_BACKENDS).filter(([name, { variable }]) => (
    name !== added && variable !== undefined && environment[variable]?.trim()))
  if (lost.length === 0) return
  output.note('from now on dario uses the backends of its configuration only; to keep those of the environment:')
  for (const [name, { variable }] of lost) output.note(`  dario backend add ${name} --key-env ${variable}`)
}

/** As it goes into the file: a literal, `env:NAME` or `file:PATH`; undefined for none, or for what is there already. */
async function readKey(context: CommandContext, known: KnownBackend | undefined, written: BackendConfig | undefined): Promise<string | undefined> {
  const { values, environment, output, positionals: [name = ''] } = context
  const [literal, variable] = [text(context, 'key'), text(context, 'key-env')]
  if ([literal, variable, values['no-key']].filter((said) => said !== undefined).length > 1) {
    throw createUsageError('--key, --key-env and --no-key exclude each other')
  }
  // Not shown again: what is no name is most likely the key.
  if (variable !== undefined && (!/^\$?\w+$/.test(variable) || createRedactor(() => [])(variable) !== variable)) {
    throw createUsageError(`--key-env takes the name of a variable, such as ${known?.variable ?? 'OPENAI_API_KEY'}; the key itself goes to stdin`)
  }
  if (variable !== undefined) return `env:${variable.replace(/^\$/, '')}`
  if (literal !== undefined && !/^(?:env|file):/.test(literal)) {
    output.note('note: other programs can see arguments; next time give the key on stdin or with --key-env')
  }
  if (literal !== undefined) return literal
  if (values['no-key'] === true || (known !== undefined && known.variable === undefined)) return undefined
  const hasKey = written !== undefined && written.keys.length > 0
  const usual = !hasKey && known?.variable && environment[known.variable]?.trim() ? `env:${known.variable}` : undefined
  if (process.stdin.isTTY) return usual ?? askHidden(`Key for ${name} (not shown; empty for ${hasKey ? 'the one it has' : 'none'}): `)
  const wait = setTimeout(() => output.note(`waiting for the key of ${name} on stdin; without one: --key-env NAME or --no-key`), PATIENCE)
  const given = await readAll(process.stdin).finally(() => clearTimeout(wait))
  return given.trim() || usual // a script has nothing on its stdin
}

async function askHidden(question: string): Promise<string | undefined> {
  process.stderr.write(question)
  const prompt = createInterface({ input: process.stdin, terminal: true }) // without an output, nothing is shown
  try {
    return (await prompt.question('')).trim() || undefined
  } catch {
    throw new DarioError('conflict', 'nothing was changed') // Ctrl+C or Ctrl+D
  } finally {
    prompt.close()
    process.stderr.write('\n')
  }
}

/** What the user says, else what the server says; undefined leaves it to the host's usual. */
async function readSpeaks(
  context: CommandContext, type: string, baseUrl: string | undefined, key: string | undefined,
): Promise<string[] | undefined> {
  const given = words(context, 'speaks')
  if (given !== undefined) return readDialects(given, '--speaks')
  const usual = Object.values(KNOWN_BACKENDS).some((known) => known.baseUrl === baseUrl && known.variable !== undefined)
  if (type === 'anthropic' || baseUrl === undefined || usual) return undefined
  const found = await askServer(baseUrl, key, context.environment, PROBE_MS)
  if (found === undefined) {
    context.output.note(`note: ${baseUrl} does not answer or refuses the key; it is taken to speak chat, --speaks says otherwise`)
  }
  return found
}

export const removeBackend: Command = async (context) => {
  const { output, positionals: [name = ''] } = context
  await edit(context, (json) => {
    const present = (json['backends'] ?? {}) as JsonObject
    findName(name, Object.keys(present), `no backend is called "${name}" in ${toSource(context).file}`, 'see: dario backend list')
    const route = (Array.isArray(json['routes']) ? json['routes'] as { model?: string; to?: string[] }[] : [])
      .find((candidate) => candidate?.to?.some?.((target) => String(target).split(':', 1)[0] === name))
    if (route !== undefined) {
      throw new DarioError('conflict', `the route "${route.model}" uses ${name}; first: dario route remove '${route.model}'`)
    }
    delete present[name]
  })
  answer(context, { removed: name }, () => output.line(`backend ${name} removed`))
}

/** Each backend asked, whether it answers and takes its keys. */
export async function askBackends(config: Config, environment: Environment): Promise<BackendStatus[]> {
  const proxy = createProxy({ config, environment })
  const { backends } = await proxy.status()
  await proxy.close(0)
  return backends
}

export const testBackends: Command = async (context) => {
  const { output, environment, positionals: [name] } = context
  const { config } = await assemble(context)
  if (name !== undefined) findName(name, Object.keys(config.backends), `no backend is called "${name}"`, 'see: dario backend list')
  const chosen = Object.entries(config.backends).filter(([id]) => name === undefined || id === name)
  const only = { ...config, backends: Object.assign(Object.create(null), Object.fromEntries(chosen)), routes: [] }
  const backends = await askBackends(only, environment)
  answer(context, { backends }, () => {
    output.table([['NAME', 'STATE', 'MODELS', 'KEYS', 'PROBLEM'], ...backends.map(({ id, problem, models, keys }) => (
      [id, problem === undefined ? 'ok' : 'fails', models === undefined ? '-' : String(models),
        keys.map(({ label, state }) => `${label} ${state}`).join(', ') || '-', cleanText(problem ?? '')]))])
  })
  return backends.some(({ problem, keys }) => problem !== undefined || keys.some(({ state }) => state === 'refused')) ? 1 : 0
}
