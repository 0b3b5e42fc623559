/**
 * `dario shim -- COMMAND`: a Node program whose requests are answered inside its own process.
 * https://nodejs.org/api/cli.html#node_optionsoptions
 * @module
 */
import { closeSync, openSync, readSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Environment } from '../config/values.ts'
import { isOurselves } from '../config/discovery.ts'
import { createUsageError, loadConfig, toSource, words } from './command.ts'
import type { Command } from './command.ts'
import { createVariables } from './environment.ts'
import { runChild } from './run.ts'
import { findProgram } from './tool.ts'
import { findTool } from './tools.ts'

const PRELOAD = fileURLToPath(new URL('../shim/preload.cjs', import.meta.url))
/** ELF, Mach-O in both byte orders and as a bundle for several processors, PE. */
const MAGIC = /^(?:7f454c46|feedfac[ef]|c[ef]faedfe|cafebabe|4d5a)/

export const shim: Command = async (context) => {
  const { environment, output } = context
  const [command = '', ...args] = context.positionals
  if (findTool(command)?.native === true || isNative(command, environment)) {
    output.note(`dario: ${command} is a native binary, which takes no shim; this works for it: dario run -- ${command}`)
    return 2
  }
  const { config } = loadConfig(context)
  const own = ['localhost', '127.0.0.1'].map((host) => `${host}:${config.port}`) // of a tool that is set up for the port
  const hosts = words(context, 'hosts') ?? ['api.anthropic.com', 'api.openai.com']
  if (!hosts.every((host) => /^[\w.-]+(?::\d+)?$/.test(host))) throw createUsageError('--hosts takes names such as api.example.com or localhost:8080')
  const { ANTHROPIC_API_KEY, OPENAI_API_KEY } = createVariables('', undefined, environment) // only where there is none
  const preload = `--require "${PRELOAD.replace(/[\\"]/g, '\\$&')}"`
  // A tool that is set up for the port must not go there.
  const addresses = ['ANTHROPIC_BASE_URL', 'OPENAI_BASE_URL', 'OPENAI_API_BASE'].filter((name) => isOurselves(environment[name] ?? '', config.port))
  return runChild(context, command, args, {
    ...environment, ...Object.fromEntries(addresses.map((name) => [name, undefined])),
    ...(ANTHROPIC_API_KEY && { ANTHROPIC_API_KEY }), ...(OPENAI_API_KEY && { OPENAI_API_KEY }),
    DARIO_CONFIG: resolve(toSource(context).file), DARIO_SHIM_HOSTS: [...hosts, ...own].join(','),
    NODE_OPTIONS: [environment['NODE_OPTIONS'], preload].filter(Boolean).join(' '),
  })
}

/** Whether a command ends in a program that is not Node's, also behind the little scripts that npm puts into PATH. */
export function isNative(command: string, environment: Environment): boolean {
  const found = findProgram(command, environment)
  if (found === undefined) return false
  const file = realpathSync(found)
  if (/^node(?:js)?(?:\.exe)?$/.test(basename(file)) || file === process.execPath) return false
  const head = readHead(file)
  if (MAGIC.test(head.toString('hex'))) return true
  // `"$basedir/../tool/bin/tool.exe"` of a shell script, `"%dp0%\..\tool\bin\tool.exe"` of a .cmd file.
  const target = /["'](?:\$basedir|%~?dp0%?)[\\/]+([^"']+)["']\s+(?:"\$@"|%\*)/.exec(head.toString('latin1'))?.[1]
  const next = target === undefined ? undefined : join(dirname(file), target.replaceAll('\\', '/'))
  return next !== undefined && MAGIC.test(readHead(next).toString('hex'))
}

function readHead(file: string): Buffer {
  let handle: number | undefined
  try {
    handle = openSync(file, 'r')
    const bytes = Buffer.alloc(4096)
    return bytes.subarray(0, readSync(handle, bytes))
  } catch {
    return Buffer.alloc(0) // a folder, or not ours to read; the system has the right words for it
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}
