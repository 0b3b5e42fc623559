/**
 * `dario env`, and the variables by which tools find an endpoint.
 * @module
 */
import { basename } from 'node:path'
import type { Environment } from '../config/values.ts'
import { PLACEHOLDER_KEY } from '../config/discovery.ts'
import { answer, createUsageError, loadConfig, text, toAccessKey, toUrl, warnOfKey } from './command.ts'
import type { Command } from './command.ts'

/**
 * Variables to set, and as undefined those to remove, for the vendors' own libraries and what is built on them.
 * @param key a client key of this proxy; undefined when it asks for none
 */
export function createVariables(url: string, key: string | undefined, environment: Environment): Environment {
  const exempt = (environment['NO_PROXY'] || environment['no_proxy'] || '').split(',').map((host) => host.trim()).filter(Boolean)
  // Added to what is there, never in its place (pitfall X7).
  const noProxy = [...new Set([...exempt, 'localhost', '127.0.0.1', '::1'])].join(',')
  const variables: Record<string, string | undefined> = {
    ANTHROPIC_BASE_URL: url,
    OPENAI_BASE_URL: `${url}/v1`,
    OPENAI_API_BASE: `${url}/v1`,
    NO_PROXY: noProxy,
    no_proxy: noProxy,
  }
  const { OPENAI_API_KEY, ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN } = environment
  // Libraries refuse to start without a key; where there is one already it does no harm on loopback.
  if (key !== undefined || !OPENAI_API_KEY) variables['OPENAI_API_KEY'] = key ?? PLACEHOLDER_KEY
  if (key !== undefined || !(ANTHROPIC_API_KEY || ANTHROPIC_AUTH_TOKEN)) {
    variables['ANTHROPIC_API_KEY'] = key ?? PLACEHOLDER_KEY
    if (ANTHROPIC_AUTH_TOKEN) variables['ANTHROPIC_AUTH_TOKEN'] = undefined // with both, some tools complain (pitfall W2)
  }
  return variables
}

type Shell = 'bash' | 'fish' | 'powershell' | 'cmd'
const SHELLS: Record<Shell, { set(name: string, value: string): string; unset(name: string): string }> = {
  bash: { set: (name, value) => `export ${name}='${value.replaceAll("'", "'\\''")}'`, unset: (name) => `unset ${name}` },
  fish: { set: (name, value) => `set -gx ${name} '${value.replace(/[\\']/g, '\\$&')}'`, unset: (name) => `set -e ${name}` },
  powershell: {
    set: (name, value) => `$env:${name} = '${value.replaceAll("'", "''")}'`,
    unset: (name) => `Remove-Item Env:${name} -ErrorAction SilentlyContinue`,
  },
  cmd: { set: (name, value) => `set "${name}=${value}"`, unset: (name) => `set "${name}="` },
}

/** Lines for the user's shell to evaluate. */
export function renderVariables(variables: Environment, shell: Shell): string[] {
  const { set, unset } = SHELLS[shell]
  return Object.entries(variables).map(([name, value]) => (value === undefined ? unset(name) : set(name, value)))
}

function detectShell(environment: Environment, platform: NodeJS.Platform): Shell {
  if (platform === 'win32' && !environment['SHELL']) return environment['PSModulePath'] === undefined ? 'cmd' : 'powershell'
  const name = basename(environment['SHELL'] ?? '')
  return name === 'fish' ? 'fish' : name === 'pwsh' ? 'powershell' : 'bash' // zsh, dash, ksh read what bash reads
}

export const environment: Command = async (context) => {
  const asked = text(context, 'shell')?.replace(/^(?:zsh|sh|dash|ksh)$/, 'bash').replace(/^pwsh$/, 'powershell') as Shell | undefined
  if (asked !== undefined && !Object.hasOwn(SHELLS, asked)) throw createUsageError(`--shell must be one of ${Object.keys(SHELLS).join(', ')}`)
  const { config } = loadConfig(context)
  warnOfKey(context, config)
  const variables = createVariables(toUrl(config), toAccessKey(context.environment), context.environment)
  answer(context, variables, () => {
    for (const line of renderVariables(variables, asked ?? detectShell(context.environment, process.platform))) context.output.line(line)
  })
}
