/**
 * `dario run -- COMMAND`: one command with its environment pointed at dario. The only place of the command line that
 * starts another program.
 * @module
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:os'
import { basename } from 'node:path'
import { hashKey } from '../config.ts'
import type { Environment } from '../config-values.ts'
import { createProxy } from '../proxy.ts'
import { assemble, findRunning, loadConfig, text, toUsageFolder } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { createVariables } from './environment.ts'

interface Endpoint {
  url: string
  /** What clients must send; undefined: nothing. */
  key: string | undefined
  close(): Promise<void>
}

export const run: Command = async (context) => {
  const [command = '', ...args] = context.positionals
  const endpoint = await findEndpoint(context)
  try {
    const variables = createVariables(endpoint.url, endpoint.key, context.environment, isClaude(command))
    return await runChild(context, command, args, { ...context.environment, ...variables })
  } finally {
    await endpoint.close()
  }
}

function isClaude(command: string): boolean {
  return basename(command).replace(/\.\w+$/, '') === 'claude'
}

/** The dario that runs, else one of our own on a free port, with a key that only the child knows. */
async function findEndpoint(context: CommandContext): Promise<Endpoint> {
  const parsed = loadConfig(context)
  const own = context.environment['DARIO_ACCESS_KEY']?.trim() || undefined
  if (parsed.config.accessKeys.length === 0 || own !== undefined) {
    const running = await findRunning(parsed.config.port)
    if (running !== undefined) return { url: running.url, key: own, close: async () => {} }
  }
  const { config } = await assemble(context, parsed)
  const key = randomBytes(24).toString('base64url')
  const port = text(context, 'port') === undefined ? 0 : config.port
  const mine = { ...config, host: '127.0.0.1', port, accessKeys: [{ name: 'run', hash: hashKey(key) }] }
  const proxy = createProxy({ config: mine, environment: context.environment, usageFolder: toUsageFolder(context) })
  const { port: chosen } = await proxy.listen()
  return { url: `http://127.0.0.1:${chosen}`, key, close: () => proxy.close(0) }
}

function runChild({ output }: CommandContext, command: string, args: readonly string[], env: Environment): Promise<number> {
  const windows = process.platform === 'win32'
  // There, most tools are .cmd files, which only a shell can start; it wants quotes around spaces (pitfall W5).
  const quoted = windows ? [command, ...args].map(quoteForCmd) : [command, ...args]
  const child = spawn(quoted[0] ?? '', quoted.slice(1), { stdio: 'inherit', env, shell: windows })
  function forward(signal: NodeJS.Signals): void {
    // A terminal sends Ctrl-C to the child itself, and two of them mean something else to many tools.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, forward)
  return new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      output.note(`dario: ${command} cannot be started (${error.code}); is it installed and in PATH?`)
      resolve(error.code === 'ENOENT' ? 127 : 126)
    })
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  }).finally(() => {
    for (const signal of signals) process.off(signal, forward)
  })
}

function quoteForCmd(word: string): string {
  if (/^[\w./:=@,+\\-]+$/.test(word)) return word
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`
}
