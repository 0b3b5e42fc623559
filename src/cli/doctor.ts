/**
 * `dario doctor`: named checks of this machine; each says ok, warn or fail and, if not ok, one remedy.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { networkInterfaces, release } from 'node:os'
import { PLACEHOLDER_KEY, isOurselves } from '../config/discovery.ts'
import { readConfig } from '../config/file.ts'
import { isLoopbackHost } from '../config/parse.ts'
import type { Config } from '../config/types.ts'
import type { Environment } from '../config/values.ts'
import { parseObject, toFields } from '../hub/json.ts'
import type { BackendStatus } from '../proxy.ts'
import { askClaude } from '../survey.ts'
import { readVersion } from '../version.ts'
import { askBackends } from './backends.ts'
import { answer, assemble, findRunning, toSource } from './command.ts'
import type { Command, CommandContext, Running } from './command.ts'
import { cleanText, describePlan } from './output.ts'
import { findProgram, locate } from './tool.ts'
import { TOOLS } from './tools.ts'

interface Check {
  name: string
  state: 'ok' | 'warn' | 'fail'
  /** What is so, in one sentence. */
  found: string
  /** What to do; only when not ok. */
  remedy?: string
}

function ok(name: string, found: string): Check {
  return { name, state: 'ok', found }
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

export const doctor: Command = async (context) => {
  const { output, environment } = context
  const [config, configChecks] = await checkConfig(context)
  const { host, port } = config ?? { host: undefined, port: 3456 }
  const running = await findRunning({ host, port }, environment)
  const backends = config === undefined ? [] : await askBackends(config, environment)
  const checks = [
    ok('node', process.versions.node), // an old one does not get as far as here
    ...configChecks,
    await checkPort(host, port, running),
    ...backends.map((backend) => checkBackend(backend, running)),
    ...(backends.every(({ plan }) => plan === undefined) ? [await checkClaude(environment)] : []),
    checkProxyVariables(environment),
    ...checkCertificates(environment),
    ...(isLoopbackHost(host) ? checkContainer(environment, port) : []),
    ...checkTools(environment, port),
    ...listTools(environment, port),
  ]
  const failed = checks.some(({ state }) => state === 'fail')
  answer(context, { version: readVersion(), ok: !failed, checks }, () => {
    for (const { name, state, found, remedy } of checks) {
      output.line(`${output.style(COLOURS[state], state.padEnd(4))}  ${cleanText(name)}: ${cleanText(found)}`)
      if (remedy !== undefined) output.line(`      ${output.style('dim', `-> ${cleanText(remedy)}`)}`)
    }
  })
  return failed ? 1 : 0
}

async function checkConfig(context: CommandContext): Promise<[Config | undefined, Check[]]> {
  const source = toSource(context)
  const name = 'configuration'
  try {
    const parsed = readConfig(source)
    const warnings = parsed.warnings.map((warning): Check => (
      { name, state: 'warn', found: warning, remedy: `change ${source.file} or the environment, then run dario doctor again` }))
    const found = existsSync(source.file) ? `${source.file} is valid` : `no ${source.file}; dario uses what it finds`
    return [(await assemble(context, parsed)).config, [ok(name, found), ...warnings]]
  } catch (error) {
    return [undefined, [{ name, state: 'fail', found: (error as Error).message, remedy: 'correct it there; dario config check tells when it is right' }]]
  }
}

async function checkPort(host: string | undefined, port: number, running: Running | undefined): Promise<Check> {
  if (running !== undefined) return ok('port', `dario ${running.version} answers at ${running.url}`)
  const problem = await new Promise<string | undefined>((resolve) => {
    const server = createServer().once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    server.listen(port, host ?? '127.0.0.1', () => server.close(() => resolve(undefined)))
  })
  if (problem === undefined) return ok('port', `${port} is free`)
  const other = `take another: dario --port ${port >= 1024 && port < 65_535 ? port + 1 : 3456}` // those below are for root
  const [found, remedy] = problem === 'EADDRINUSE' ? [`${port} is taken by another program`, other]
    : problem === 'EACCES' ? [`${port} needs more rights than dario has`, other]
      : [`dario cannot listen on ${host} (${problem})`, 'name an address of this machine in "host", --host or DARIO_HOST']
  return { name: 'port', state: 'fail', found, remedy }
}

function checkBackend({ id, type, speaks, keys, models, problem, plan }: BackendStatus, running: Running | undefined): Check {
  const name = `backend ${id}`
  if (plan !== undefined) {
    const found = describePlan(plan, running?.backends.get(id)?.windows)
    return plan.hint === undefined ? ok(name, found) : { name, state: plan.ok ? 'warn' : 'fail', found, remedy: plan.hint }
  }
  const refused = keys.filter(({ state }) => state === 'refused')
  if (refused.length > 0) {
    const found = `the key ${refused.map(({ label }) => label).join(', ')} is refused`
    return { name, state: 'fail', found, remedy: `give a valid one: dario backend add ${id} --key-env NAME` }
  }
  if (problem !== undefined) return { name, state: 'fail', found: problem, remedy: `correct its address or key, then: dario backend test ${id}` }
  return ok(name, `${type}, speaks ${speaks.join(', ')}${models === undefined ? '' : `, models: ${models}`}`)
}

/** A program that no backend uses: it may be wanted. */
async function checkClaude(environment: Environment): Promise<Check> {
  const status = await askClaude(environment)
  if (status.program === undefined) return ok('claude', 'no claude program; the plan backend is off')
  const found = describePlan(status)
  return status.ok ? ok('claude', found) : { name: 'claude', state: 'warn', found, remedy: status.hint ?? 'run: claude auth login' }
}

/** `http://user:***@host:8080`: the password is nobody's business (pitfall X6). */
export function hidePassword(value: string): string {
  return value.replace(/^((?:[a-z][\w+.-]*:\/\/)?[^@/:]*):.*@/i, '$1:***@')
}

function checkProxyVariables(environment: Environment): Check {
  const names = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => [name, name.toLowerCase()])
  const set = names.filter((name) => environment[name]?.trim()).map((name) => `${name}=${hidePassword(environment[name] ?? '')}`)
  return ok('proxy variables', set.length === 0 ? 'none set; backends are reached directly' : `${set.join(' ')}; loopback is always direct`)
}

function checkCertificates(environment: Environment): Check[] {
  const name = 'certificates'
  const file = environment['NODE_EXTRA_CA_CERTS']?.trim()
  const checks: Check[] = []
  if (file) {
    checks.push(existsSync(file) ? ok(name, `NODE_EXTRA_CA_CERTS=${file}`)
      : { name, state: 'fail', found: `NODE_EXTRA_CA_CERTS names ${file}, which is not there`, remedy: 'correct or unset it' })
  }
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    const remedy = 'unset it and name your authority in NODE_EXTRA_CA_CERTS'
    checks.push({ name, state: 'warn', found: 'NODE_TLS_REJECT_UNAUTHORIZED=0 accepts any server', remedy })
  }
  return checks
}

/** `localhost` of a container or of WSL is not the one of the host (pitfall W7). */
function checkContainer(environment: Environment, port: number): Check[] {
  const wsl = environment['WSL_DISTRO_NAME'] !== undefined || /microsoft/i.test(release())
  const container = existsSync('/.dockerenv') || existsSync('/run/.containerenv') || environment['KUBERNETES_SERVICE_HOST'] !== undefined
  if (!wsl && !container) return []
  const address = Object.values(networkInterfaces()).flat().find((found) => found?.family === 'IPv4' && !found.internal)?.address
  const found = container ? 'dario runs in a container: localhost is the container itself' : 'dario runs in WSL: Windows may have another localhost'
  const remedy = `from outside use http://${address ?? 'ADDRESS'}:${port}, with DARIO_HOST=0.0.0.0 and DARIO_ACCESS_KEY set`
  return [{ name: container ? 'container' : 'wsl', state: 'warn', found, remedy }]
}

function findSettings(tool: string, environment: Environment): string {
  return TOOLS[tool]?.settings?.flatMap((settings) => locate(settings, environment))[0] ?? ''
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Settings of tools that win over the variables which `dario env` and `dario run` set (pitfalls W1, W2). */
export function checkTools(environment: Environment, port: number): Check[] {
  const checks = checkClaudeSettings(environment, port)
  const codex = findSettings('codex', environment)
  const codexUrls = [...readIfThere(codex).matchAll(/^\s*(?:openai_)?base_url\s*=\s*["']([^"'\n]*)["']/gm)].map((match) => match[1] ?? '')
  const [elsewhere] = codexUrls
  if (elsewhere !== undefined && !codexUrls.some((url) => isOurselves(url, port))) { // it may list others beside us
    const remedy = `set base_url = "http://localhost:${port}/v1" there, or remove the line`
    checks.push({ name: 'codex', state: 'warn', found: `${codex} sends Codex to ${hidePassword(elsewhere)}`, remedy })
  }
  if (environment['ANTHROPIC_API_KEY']?.trim() && environment['ANTHROPIC_AUTH_TOKEN']?.trim()) {
    const found = 'ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN are both set; Claude Code complains of that'
    checks.push({ name: 'auth variables', state: 'warn', found, remedy: 'unset ANTHROPIC_AUTH_TOKEN' })
  }
  return checks.length > 0 ? checks : [ok('tools', 'no tool setting overrides the variables')]
}

/** Tools that are here, and whether their settings lead to us. */
function listTools(environment: Environment, port: number): Check[] {
  return Object.entries(TOOLS).flatMap(([name, { title, program, settings = [] }]) => {
    const files = settings.flatMap((file) => locate(file, environment))
    if (!files.some((file) => existsSync(file)) && (program === undefined || findProgram(program, environment) === undefined)) return []
    const here = files.some((file) => new RegExp(`//(?:localhost|127\\.0\\.0\\.1):${port}\\b`).test(readIfThere(file)))
    const way = program === undefined ? `dario setup ${name}` : `dario run ${name}, or for good: dario setup ${name}`
    return [ok(`tool ${name}`, here ? `${title} is set up for dario` : `${title} is not set up for dario; ${way}`)]
  })
}

function checkClaudeSettings(environment: Environment, port: number): Check[] {
  const file = findSettings('claude', environment)
  const settings = parseObject(readIfThere(file) || '{}')
  if (settings === undefined) {
    return [{ name: 'claude code', state: 'warn', found: `${file} holds no valid JSON object`, remedy: 'correct it; Claude Code ignores it now' }]
  }
  const env = toFields(settings['env'])
  const overriding = ['ANTHROPIC_BASE_URL', 'ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'CLAUDE_CODE_USE_BEDROCK', 'CLAUDE_CODE_USE_VERTEX']
    .filter((name) => env[name] !== undefined && env[name] !== '' && env[name] !== PLACEHOLDER_KEY)
    .filter((name) => name !== 'ANTHROPIC_BASE_URL' || !isOurselves(String(env[name]), port))
  if (overriding.length === 0) return []
  const found = `the env block of ${file} sets ${overriding.join(', ')}, which wins over the environment`
  return [{ name: 'claude code', state: 'warn', found, remedy: `remove it there, or set ANTHROPIC_BASE_URL to http://localhost:${port}` }]
}
