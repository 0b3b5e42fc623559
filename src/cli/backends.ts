/**
 * `dario backend list|add|remove|test`. A key goes into the file and is never printed again.
 * @module
 */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { BACKEND_NAME } from '../config/backend.ts'
import type { BackendConfig } from '../config/types.ts'
import { editConfig } from '../config/file.ts'
import { readBaseUrl } from '../config/values.ts'
import { DarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import { KNOWN_BACKENDS } from '../config/known.ts'
import { nearest } from '../config/nearest.ts'
import { createProxy, describeKey } from '../proxy.ts'
import { askClaude, askServer } from '../survey.ts'
import { assemble, createUsageError, findRunning, text, toSource, warn } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'
import { describePlan } from './plan.ts'

const PROBE_MS = 5_000 // a server may have to wake up first

export const backends: Command = async (context) => {
  switch (context.name) {
    case 'backend add': return await add(context)
    case 'backend remove': return await remove(context)
    case 'backend test': return await test(context)
    default: return await list(context)
  }
}

async function list(context: CommandContext): Promise<number> {
  const { output, values } = context
  const { config, discovered } = await assemble(context)
  const running = await findRunning(config.port, context.environment)
  const rows = await Promise.all(Object.entries(config.backends).map(async ([name, backend]) => {
    const { type, baseUrl, speaks, keys, discovered: found } = backend
    const plan = type === 'claude-code' ? { ...await askClaude(context.environment, backend), windows: running?.windows.get(name) ?? [] } : undefined
    return { name, type, baseUrl, speaks, keys: keys.map(({ label }) => label), states: running?.keys.get(name), plan, discovered: found }
  }))
  if (values['json'] === true) return output.json({ running: running?.url, backends: rows }), 0
  output.table([['NAME', 'TYPE', 'SPEAKS', 'KEYS', 'ADDRESS'], ...rows.map(({ name, type, baseUrl, speaks, keys, states, plan }) => {
    const told = plan === undefined ? states?.map(describeKey) ?? keys : [describePlan(plan, plan.windows)]
    return [name, type, speaks.join(', '), told.map(cleanText).join('; ') || '-', cleanText(baseUrl ?? plan?.program ?? '-')]
  })])
  for (const { name, plan } of rows) if (plan?.hint !== undefined) output.note(`${name}: ${cleanText(plan.hint)}`)
  output.note(running === undefined ? 'dario does not run, so this is the configuration' : `keys as the dario at ${running.url} knows them`)
  if (discovered !== undefined) output.note('found on this machine; none is configured yet: dario backend add NAME')
  return 0
}

async function add(context: CommandContext): Promise<number> {
  const { positionals: [name = ''] } = context
  if (!BACKEND_NAME.test(name)) {
    throw createUsageError(`"${name}" cannot be a name: use lower-case letters, digits, - and _, beginning with a letter or digit`)
  }
  const known = KNOWN_BACKENDS[name]
  const type = text(context, 'type') ?? (name === 'plan' ? 'claude-code' : name === 'echo' ? 'echo' : (known?.type ?? 'openai'))
  const local = type === 'claude-code' || type === 'echo'
  const given = text(context, 'base-url')
  const baseUrl = given === undefined ? known?.baseUrl : readBaseUrl(given, '--base-url')
  if (baseUrl === undefined && type === 'openai') {
    const near = nearest(name, Object.keys(KNOWN_BACKENDS))
    throw createUsageError(`${name} is not a known name, so it needs --base-url=URL${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
  const key = local ? undefined : await readKey(context, known !== undefined && known.variable === undefined)
  const speaks = local ? undefined : await readSpeaks(context, type, baseUrl, key)
  const backend: JsonObject = { type }
  if (baseUrl !== undefined && !local) backend['baseUrl'] = baseUrl
  if (key !== undefined) backend['keys'] = [key]
  if (speaks !== undefined) backend['speaks'] = speaks
  const { config, warnings } = await editConfig(toSource(context), (json) => {
    const present = (json['backends'] ??= {}) as JsonObject
    if (Object.keys(present).length === 0) noteEndOfDiscovery(context, name)
    present[name] = { ...(present[name] as JsonObject | undefined), ...backend }
  })
  for (const warning of warnings) warn(context, warning)
  const written = config.backends[name] as BackendConfig
  report(context, name, written)
  return 0
}

/** From the first configured backend on, the file is the whole truth; say so rather than let a backend vanish. */
function noteEndOfDiscovery({ environment, output }: CommandContext, added: string): void {
  const lost = Object.entries(KNOWN_BACKENDS).filter(([name, { variable }]) => (
    name !== added && variable !== undefined && environment[variable]?.trim()))
  if (lost.length === 0) return
  output.note('from now on dario uses the backends of its configuration only; to keep those of the environment:')
  for (const [name, { variable }] of lost) output.note(`  dario backend add ${name} --key-env ${variable}`)
}

function report({ output, values }: CommandContext, name: string, { type, baseUrl, speaks, keys }: BackendConfig): void {
  if (values['json'] === true) return output.json({ name, type, baseUrl, speaks, keys: keys.map(({ label }) => label) })
  const where = baseUrl === undefined ? '' : ` at ${baseUrl}`
  output.line(`backend ${name} added: ${type}${where}, speaks ${speaks.join(', ')}, ${keys.length === 0 ? 'no key' : 'with a key'}`)
  output.note(`try it: dario backend test ${name}`)
}

/** As it goes into the file: a literal, `env:NAME` or `file:PATH`; undefined for none. */
async function readKey(context: CommandContext, needsNone: boolean): Promise<string | undefined> {
  const { values, environment, output, positionals: [name = ''] } = context
  const [literal, variable] = [text(context, 'key'), text(context, 'key-env')]
  if (literal !== undefined && variable !== undefined) throw createUsageError('--key and --key-env exclude each other')
  if (variable !== undefined) return `env:${variable.replace(/^\$/, '')}`
  if (literal !== undefined) {
    if (!/^(?:env|file):/.test(literal)) {
      output.note('note: other programs can see arguments; next time give the key on stdin or with --key-env')
    }
    return literal
  }
  if (values['no-key'] === true || needsNone) return undefined
  const usual = KNOWN_BACKENDS[name]?.variable
  if (process.stdin.isTTY && usual !== undefined && environment[usual]?.trim()) return `env:${usual}`
  const question = `Key for ${name} (not shown; empty for none): `
  const typed = process.stdin.isTTY ? await askHidden(question) : await readAll(process.stdin)
  return typed.trim() || undefined
}

async function askHidden(question: string): Promise<string> {
  process.stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const prompt = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await prompt.question('')
  } finally {
    prompt.close()
    process.stderr.write('\n')
  }
}

/** What the user says, else what the server says; undefined leaves it to the host's usual. */
async function readSpeaks(
  context: CommandContext, type: string, baseUrl: string | undefined, key: string | undefined,
): Promise<string[] | undefined> {
  const given = text(context, 'speaks')
  if (given !== undefined) return given.split(',').map((word) => word.trim()).filter((word) => word !== '')
  const usual = Object.values(KNOWN_BACKENDS).some((known) => known.baseUrl === baseUrl && known.variable !== undefined)
  if (type === 'anthropic' || baseUrl === undefined || usual) return undefined
  const found = await askServer({ type: 'openai', baseUrl, key }, context.environment, PROBE_MS)
  if (found === undefined) {
    context.output.note(`note: ${baseUrl} does not answer or refuses the key; it is taken to speak chat, --speaks says otherwise`)
  }
  return found
}

async function remove(context: CommandContext): Promise<number> {
  const { output, values, positionals: [name = ''] } = context
  await editConfig(toSource(context), (json) => {
    const present = (json['backends'] ?? {}) as JsonObject
    if (!Object.hasOwn(present, name)) throw createUnknown(name, Object.keys(present))
    const route = (Array.isArray(json['routes']) ? json['routes'] as { model?: string; to?: string[] }[] : [])
      .find((candidate) => candidate?.to?.some?.((target) => String(target).split(':', 1)[0] === name))
    if (route !== undefined) {
      throw new DarioError('conflict', `the route "${route.model}" uses ${name}; first: dario route remove '${route.model}'`)
    }
    delete present[name]
  })
  if (values['json'] === true) output.json({ removed: name })
  else output.line(`backend ${name} removed`)
  return 0
}

function createUnknown(name: string, names: readonly string[]): DarioError {
  const near = nearest(name, names)
  const hint = near === undefined ? 'see: dario backend list' : `did you mean "${near}"?`
  return new DarioError('not_found', `no backend is called "${name}"; ${hint}`)
}

async function test(context: CommandContext): Promise<number> {
  const { output, values, positionals: [name] } = context
  const { config } = await assemble(context)
  const chosen = Object.entries(config.backends).filter(([id]) => name === undefined || id === name)
  if (name !== undefined && chosen.length === 0) throw createUnknown(name, Object.keys(config.backends))
  const only = { ...config, backends: Object.assign(Object.create(null), Object.fromEntries(chosen)), routes: [] }
  const proxy = createProxy({ config: only, environment: context.environment })
  const { backends: states } = await proxy.status()
  await proxy.close(0)
  if (values['json'] === true) output.json({ backends: states })
  else {
    output.table([['NAME', 'STATE', 'MODELS', 'KEYS', 'PROBLEM'], ...states.map(({ id, problem, models, keys }) => (
      [id, problem === undefined ? 'ok' : 'fails', models === undefined ? '-' : String(models),
        keys.map(({ label, state }) => `${label} ${state}`).join(', ') || '-', cleanText(problem ?? '')]))])
  }
  return states.some(({ problem, keys }) => problem !== undefined || keys.some(({ state }) => state === 'refused')) ? 1 : 0
}
