/**
 * One JSON value plus environment plus flags, validated into a configuration. Every error names the JSON path
 * (or the variable, or the flag) and says what would be right; no secret is ever part of a message.
 * @module
 */
import { createHash } from 'node:crypto'
import { createBackendConfig, readBackend } from './backend.ts'
import { DarioError } from '../errors.ts'
import { memberPath } from './json-text.ts'
import { suggest } from './nearest.ts'
import type { AccessKeyConfig, BackendConfig, BudgetConfig, Config, ConfigFlags, ParsedConfig, RouteConfig } from './types.ts'
import {
  MAX_TIMER, createSecretReader, fail, listOf, numberFrom, oneOf, optional, readAny, readText, recordOf, shape, withDefault,
} from './values.ts'
import type { Environment, ReadSecret } from './values.ts'

const texts = withDefault([], listOf(readText))
const readAccessKeyMembers = shape({ name: optional(readText), key: readAny, hash: optional(readText), routes: optional(listOf(readText)) })
const readBudgetMembers = shape({
  scope: withDefault('all', readText), per: oneOf(['day', 'month']),
  dollars: optional(numberFrom(0.01, 1e9, false)), tokens: optional(numberFrom(1, 1e15)),
})

function readRoute(value: unknown, path: string, backends: Record<string, BackendConfig>): RouteConfig {
  let plans = 0
  const route = shape({ model: readText, to: listOf((item, at) => {
    const target = readText(item, at)
    const name = target.split(':', 1)[0] ?? ''
    const backend = backends[name]
      ?? fail(at, suggest(`no backend is called "${name}"`, name, Object.keys(backends), `add it: dario backend add ${name}`))
    if (target.endsWith(':')) fail(at, 'has no model after the colon')
    // We never rotate between subscriptions: one plan per chain, whatever its model.
    if (backend.type === 'claude-code' && ++plans > 1) fail(at, 'a route may name one claude-code backend only')
    return target
  }) })(value, path)
  if (route.to.length === 0) fail(`${path}.to`, 'must name at least one backend')
  return route
}

/** None when its secret is not there. */
function readAccessKey(value: unknown, path: string, secret: ReadSecret): AccessKeyConfig[] {
  const { name = path, key, hash, routes } = readAccessKeyMembers(typeof value === 'string' ? { key: value } : value, path)
  if (hash !== undefined && !/^[0-9a-f]{64}$/i.test(hash)) fail(`${path}.hash`, 'must be a SHA-256 in hexadecimal')
  if (key === undefined && hash === undefined) fail(path, 'must have a "key" or a "hash"')
  const known = hash === undefined ? secret(readText(key, path), path) : undefined
  const kept = known === undefined ? hash?.toLowerCase() : hashKey(known)
  return kept === undefined ? [] : [{ name, hash: kept, ...(routes && { routes }) }]
}

function readBudget(value: unknown, path: string): BudgetConfig {
  const budget = readBudgetMembers(value, path)
  if (!/^(?:all|(?:backend|route|key):.+)$/.test(budget.scope)) fail(`${path}.scope`, 'must be all, backend:NAME, route:PATTERN or key:NAME')
  if ((budget.dollars === undefined) === (budget.tokens === undefined)) fail(path, 'must have either "dollars" or "tokens"')
  return budget
}

/** The credentials of a configuration, for redaction. */
export function listSecrets({ backends }: Config): string[] {
  // A header, or what the plan's program is given, may be a credential too; short ones are words.
  return Object.values(backends).flatMap(({ keys, headers, env }) =>
    [...keys.map(({ value }) => value), ...[headers, env].flatMap(Object.values<string>).filter((value) => value.length > 15)])
}

export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

export function isLoopbackHost(host: string | undefined): boolean {
  return host === undefined || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** The user wrote no backend of their own, so dario looks around; a configuration that names some is the whole truth. */
export function isUnconfigured(config: Config): boolean {
  return Object.values(config.backends).every((backend) => backend.discovered)
}

/** The first that is set of flag, variable and file, with the name to blame. Text of flags and variables is trimmed (W14). */
function pick(name: 'host' | 'port', flags: ConfigFlags, environment: Environment, json: unknown): [unknown, string] {
  const variable = `DARIO_${name.toUpperCase()}`
  const text = flags[name]?.trim() ?? (environment[variable]?.trim() || undefined)
  if (text === undefined) return [json, name]
  return [name === 'port' && /^\d+$/.test(text) ? Number(text) : text, flags[name] === undefined ? variable : `--${name}`]
}

/** Every setting, in the order in which a wrong name is told of them; those that depend on others are read after. */
function readTop(json: unknown, secret: ReadSecret) {
  return shape({
    host: readAny,
    port: readAny,
    accessKeys: readAny,
    allowedHosts: texts,
    allowedOrigins: texts,
    maxBodyBytes: withDefault(67_108_864, numberFrom(1024, 1_073_741_824)),
    maxStoredAnswers: withDefault(4000, numberFrom(0, 1_000_000)),
    maxStoredBytes: withDefault(67_108_864, numberFrom(0, 1e12)),
    deadline: withDefault(3_600_000, numberFrom(1, MAX_TIMER)),
    attempts: withDefault(8, numberFrom(1, 100)),
    backends: withDefault({}, recordOf((value, path, name) => readBackend(value, path, name, secret))),
    routes: readAny,
    aliases: withDefault({}, recordOf(readText)),
    budgets: withDefault([], listOf(readBudget)),
    usageDays: withDefault(400, numberFrom(1, 36_500)),
  })(json, '')
}

/**
 * @param json the parsed file; `{}` for none
 * @throws DarioError `config_invalid` with the JSON path, variable or flag
 */
export function parseConfig(json: unknown, environment: Environment = {}, flags: ConfigFlags = {}): ParsedConfig {
  const warnings: string[] = []
  const secret = createSecretReader(environment, warnings)
  const given = readTop(json, secret)
  const { backends, aliases, budgets } = given
  backends['echo'] ??= createBackendConfig('echo', { type: 'echo' })
  for (const [alias, model] of Object.entries(aliases)) {
    if (aliases[model] !== undefined) warnings.push(`${memberPath('aliases', alias)}: "${model}" is an alias too; dario follows one step only`)
  }
  const [hostValue, hostName] = pick('host', flags, environment, given.host)
  const host = hostValue === undefined ? undefined : readText(hostValue, hostName).trim().replace(/^\[(.*)\]$/, '$1')
  const port = withDefault(3456, numberFrom(0, 65_535))(...pick('port', flags, environment, given.port))
  const listed = listOf((value, path) => readAccessKey(value, path, secret))(given.accessKeys ?? [], 'accessKeys')
  const extra = environment['DARIO_ACCESS_KEY']?.trim()
  const shared = extra ? readAccessKey({ name: 'DARIO_ACCESS_KEY', key: extra }, 'DARIO_ACCESS_KEY', secret) : []
  const accessKeys = [...listed.flat(), ...shared]
  if (!isLoopbackHost(host) && accessKeys.length === 0) {
    const problem = `${hostName}: ${host} lets other machines in; set DARIO_ACCESS_KEY or "accessKeys", or use 127.0.0.1` // pitfall Z4
    throw new DarioError('config_invalid', problem, hostName === 'host' ? { path: hostName } : {}) // the flag itself is right
  }
  const routes = listOf((value, path) => readRoute(value, path, backends))(given.routes ?? [], 'routes')
  const names: Record<string, string[]> = {
    backend: Object.keys(backends), route: routes.map(({ model }) => model), key: accessKeys.map(({ name }) => name),
  }
  for (const [index, { scope }] of budgets.entries()) {
    const [kind = '', name = ''] = scope.split(/:(.*)/s)
    if (names[kind]?.includes(name) !== false) continue
    warnings.push(`budgets[${index}].scope: no ${kind} is called "${name}"; this budget counts nothing yet`)
  }
  for (const { name, routes: allowed = [] } of accessKeys) {
    const missing = allowed.find((pattern) => !names['route']?.includes(pattern))
    if (missing !== undefined) warnings.push(`accessKeys: "${name}" may use a route "${missing}", and there is none`)
  }
  return { config: { ...given, host, port, accessKeys, routes }, warnings }
}
