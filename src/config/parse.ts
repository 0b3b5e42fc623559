/**
 * One JSON value plus environment plus flags, validated into a configuration. Every error names the JSON path
 * (or the variable, or the flag) and says what would be right; no secret is ever part of a message.
 * @module
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { createBackendConfig, readBackend } from './backend.ts'
import { MAX_TIMER, createSecretReader, fail, readList, readNumber, readObject, readRecord, readText, readWord } from './values.ts'
import type { Environment, ReadSecret } from './values.ts'
import type { AccessKeyConfig, BackendConfig, BudgetConfig, Config, ConfigFlags, ParsedConfig, RouteConfig } from './types.ts'
import { memberPath } from './json-text.ts'
import { nearest } from './nearest.ts'

const TOP = ['host', 'port', 'accessKeys', 'allowedHosts', 'allowedOrigins', 'maxBodyBytes', 'maxStoredAnswers', 'maxStoredBytes', 'deadline', 'attempts',
  'backends', 'routes', 'aliases', 'budgets', 'usageDays'] as const

function readRoute(value: unknown, path: string, backends: Record<string, BackendConfig>): RouteConfig {
  const { model, to } = readObject(value, path, ['model', 'to'])
  let plans = 0
  const chain = readList(to, `${path}.to`, (item, at) => {
    const target = readText(item, at)
    const name = target.split(':', 1)[0] ?? ''
    const near = nearest(name, Object.keys(backends))
    const hint = near === undefined ? `add it: dario backend add ${name}` : `did you mean "${near}"?`
    const backend = backends[name] ?? fail(at, `no backend is called "${name}"; ${hint}`)
    if (target.endsWith(':')) fail(at, 'has no model after the colon')
    // We never rotate between subscriptions: one plan per chain, whatever its model.
    if (backend.type === 'claude-code' && ++plans > 1) fail(at, 'a route may name one claude-code backend only')
    return target
  })
  if (chain.length === 0) fail(`${path}.to`, 'must name at least one backend')
  return { model: readText(model, `${path}.model`), to: chain }
}

function readAccessKey(value: unknown, path: string, secret: ReadSecret): AccessKeyConfig[] {
  const given = typeof value === 'string' ? { key: value } : readObject(value, path, ['name', 'key', 'hash', 'routes'])
  const { name, key, hash, routes } = given as Partial<Record<'name' | 'key' | 'hash' | 'routes', unknown>>
  const known = hash === undefined ? secret(readText(key, path), path) : undefined
  if (hash !== undefined && !/^[0-9a-f]{64}$/i.test(readText(hash, `${path}.hash`))) {
    fail(`${path}.hash`, 'must be a SHA-256 in hexadecimal')
  }
  if (hash === undefined && known === undefined) return []
  return [{
    name: name === undefined ? path : readText(name, `${path}.name`),
    hash: known === undefined ? String(hash).toLowerCase() : hashKey(known),
    ...(routes === undefined ? {} : { routes: readList(routes, `${path}.routes`, readText) }),
  }]
}

function readBudget(value: unknown, path: string): BudgetConfig {
  const { scope, per, dollars, tokens } = readObject(value, path, ['scope', 'per', 'dollars', 'tokens'])
  const text = readText(scope ?? 'all', `${path}.scope`)
  if (!/^(?:all|(?:backend|route|key):.+)$/.test(text)) fail(`${path}.scope`, 'must be all, backend:NAME, route:PATTERN or key:NAME')
  if ((dollars === undefined) === (tokens === undefined)) fail(path, 'must have either "dollars" or "tokens"')
  const limit = dollars === undefined ? { tokens: readNumber(tokens, `${path}.tokens`, 1, 1e15) }
    : { dollars: readNumber(dollars, `${path}.dollars`, 0.01, 1e9, false) }
  return { scope: text, per: readWord(per, `${path}.per`, ['day', 'month']), ...limit }
}

/** The credentials of a configuration, for redaction. */
export function listSecrets({ backends }: Config): string[] {
  // A header may be a credential too; short ones are words.
  return Object.values(backends).flatMap(({ keys, headers }) => [...keys.map(({ value }) => value), ...Object.values(headers).filter((value) => value.length > 15)])
}

export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

export function isLoopbackHost(host: string | undefined): boolean {
  return host === undefined || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** `~/.dario/config.json`, or what DARIO_CONFIG says. */
export function defaultConfigPath(environment: Environment, home: string): string {
  return environment['DARIO_CONFIG']?.trim() || join(home, '.dario', 'config.json')
}

/** The user wrote no backend of their own, so dario looks around; a configuration that names some is the whole truth. */
export function isUnconfigured(config: Config): boolean {
  return Object.values(config.backends).every((backend) => backend.discovered)
}

/** The first that is set of flag, variable and file, with the name to blame. Text of flags and variables is trimmed (W14). */
function pick(name: 'host' | 'port', flags: ConfigFlags, environment: Environment, json: unknown): [unknown, string] {
  const variable = `DARIO_${name.toUpperCase()}`
  const set = flags[name] !== undefined ? ([flags[name], `--${name}`] as const) : ([environment[variable], variable] as const)
  const text = set[0]?.trim()
  if (text === undefined || (text === '' && flags[name] === undefined)) return [json, name]
  return [name === 'port' && /^\d+$/.test(text) ? Number(text) : text, set[1]]
}

/**
 * @param json the parsed file; `{}` for none
 * @throws DarioError `config_invalid` with the JSON path, variable or flag
 */
export function parseConfig(json: unknown, environment: Environment = {}, flags: ConfigFlags = {}): ParsedConfig {
  const warnings: string[] = []
  const secret = createSecretReader(environment, warnings)
  const given = readObject(json, '', TOP)
  const backends = readRecord(given.backends, 'backends', (value, path, name) => readBackend(value, path, name, secret))
  backends['echo'] ??= createBackendConfig('echo', { type: 'echo' })
  const aliases = readRecord(given.aliases, 'aliases', readText)
  for (const [alias, model] of Object.entries(aliases)) {
    if (aliases[model] === undefined) continue
    warnings.push(`${memberPath('aliases', alias)}: "${model}" is an alias too; dario follows one step only`)
  }
  const [hostValue, hostName] = pick('host', flags, environment, given.host)
  const host = hostValue === undefined ? undefined : readText(hostValue, hostName).trim().replace(/^\[(.*)\]$/, '$1')
  const [port, portName] = pick('port', flags, environment, given.port)
  const listed = readList(given.accessKeys ?? [], 'accessKeys', (value, path) => readAccessKey(value, path, secret))
  const extra = environment['DARIO_ACCESS_KEY']?.trim()
  const shared = extra ? readAccessKey({ name: 'DARIO_ACCESS_KEY', key: extra }, 'DARIO_ACCESS_KEY', secret) : []
  const accessKeys = [...listed.flat(), ...shared]
  if (!isLoopbackHost(host) && accessKeys.length === 0) {
    fail(hostName, `${host} lets other machines in; set DARIO_ACCESS_KEY or "accessKeys", or use 127.0.0.1`) // pitfall Z4
  }
  const routes = readList(given.routes ?? [], 'routes', (value, path) => readRoute(value, path, backends))
  const config: Config = {
    host,
    port: readNumber(port ?? 3456, portName, 0, 65_535),
    accessKeys,
    allowedHosts: readList(given.allowedHosts ?? [], 'allowedHosts', readText),
    allowedOrigins: readList(given.allowedOrigins ?? [], 'allowedOrigins', readText),
    maxBodyBytes: readNumber(given.maxBodyBytes ?? 67_108_864, 'maxBodyBytes', 1024, 1_073_741_824),
    maxStoredAnswers: readNumber(given.maxStoredAnswers ?? 4000, 'maxStoredAnswers', 0, 1_000_000),
    maxStoredBytes: readNumber(given.maxStoredBytes ?? 67_108_864, 'maxStoredBytes', 0, 1e12),
    deadline: readNumber(given.deadline ?? 3_600_000, 'deadline', 1, MAX_TIMER),
    attempts: readNumber(given.attempts ?? 8, 'attempts', 1, 100),
    backends,
    routes,
    aliases,
    budgets: readList(given.budgets ?? [], 'budgets', (value, path) => {
      const budget = readBudget(value, path)
      const [, kind, name] = /^(backend|route|key):(.+)$/.exec(budget.scope) ?? []
      const known = { backend: Object.keys(backends), route: routes.map(({ model }) => model), key: accessKeys.map((key) => key.name) }[kind ?? '']
      if (known?.includes(name!) === false) warnings.push(`${path}.scope: no ${kind} is called "${name}"; this budget counts nothing yet`)
      return budget
    }),
    usageDays: readNumber(given.usageDays ?? 400, 'usageDays', 1, 36_500),
  }
  return { config, warnings }
}
