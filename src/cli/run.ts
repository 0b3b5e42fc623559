/**
 * `dario run TOOL` and `dario run -- COMMAND`: one command pointed at dario by environment, flags and temporary files.
 * The only place of the command line that starts another program.
 * @module
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { makeFolder } from '../config/folder.ts'
import { hashKey } from '../config/parse.ts'
import type { Environment } from '../config/values.ts'
import { PLACEHOLDER_KEY } from '../config/discovery.ts'
import { DarioError } from '../errors.ts'
import { createProxy } from '../proxy.ts'
import { assemble, createUsageError, findRunning, loadConfig, text, toAccessKey, toUsageFolder } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { createVariables } from './environment.ts'
import { chooseModel, fill } from './tool.ts'
import type { Tool, Values } from './tool.ts'
import { TOOLS, findTool } from './tools.ts'

export const run: Command = async (context) => {
  const [command = '', ...args] = context.positionals
  const tool = findTool(command)
  // Without variables or flags of its own a start would leave it where it was.
  if (tool !== undefined && (tool.program === undefined || (tool.env ?? tool.args) === undefined)) {
    throw createUsageError(`${tool.title} is not started from here; this says how it gets to dario: dario setup ${command}`)
  }
  if (tool === undefined && text(context, 'model') !== undefined) {
    throw createUsageError(`--model is for the tools that dario setup lists; give ${command} its model as it takes it`)
  }
  const endpoint = await findEndpoint(context)
  const dir = join(tmpdir(), `dario-run-${randomBytes(9).toString('hex')}`)
  try {
    const { url: root, key } = endpoint
    const model = tool === undefined ? undefined : await chooseModel(fetch, root, key, text(context, 'model'), tool.models !== undefined)
    const values = { root, key: key ?? PLACEHOLDER_KEY, model, dir }
    const environment = { ...context.environment, ...createVariables(root, key, context.environment), ...toEnvironment(tool, values) }
    writeFiles(tool, values)
    const program = command in TOOLS ? tool?.program ?? command : command
    return await runChild(context, program, [...toArguments(tool, values, args), ...args], environment)
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
    await endpoint.close()
  }
}

function toEnvironment(tool: Tool | undefined, values: Values): Environment {
  const filled = Object.entries(fill(tool?.env ?? {}, values) as object).map(([name, value]: [string, unknown]) =>
    [name, value === '' ? undefined : typeof value === 'string' ? value : JSON.stringify(value)])
  return Object.fromEntries(filled) as Environment
}

function toArguments(tool: Tool | undefined, values: Values, args: readonly string[]): string[] {
  return (tool?.args ?? []).flatMap(([flag = '', ...rest]) => {
    const names = flag.split('|')
    const said = names.length > 1 && args.some((word) => names.includes(word.split('=', 1)[0] ?? ''))
    return said ? [] : (fill([names[0] ?? '', ...rest], values) as string[] | undefined) ?? []
  })
}

function writeFiles(tool: Tool | undefined, values: Required<Values>): void {
  if (tool?.files === undefined) return
  try {
    mkdirSync(values.dir, { mode: 0o700 })
    for (const [name, template] of Object.entries(tool.files)) {
      const file = join(values.dir, name)
      const content = fill(template, values)
      makeFolder(dirname(file))
      writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600, flag: 'wx' })
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new DarioError('config_invalid', `${values.dir} cannot be written (${code}); name another folder in TMPDIR`, { cause: error })
  }
}

/** The dario that runs and lets us in, else one of our own on a free port, with a key that only the child knows; a `key` must be sent. */
async function findEndpoint(context: CommandContext): Promise<{ url: string; key: string | undefined; close(): Promise<void> }> {
  const parsed = loadConfig(context)
  const running = await findRunning(parsed.config, context.environment)
  if (running !== undefined && running.backends.size > 0) return { url: running.url, key: toAccessKey(context.environment), close: async () => {} }
  const { config } = await assemble(context, parsed)
  const key = randomBytes(24).toString('base64url')
  const port = running === undefined && text(context, 'port') !== undefined ? config.port : 0
  const mine = { ...config, host: '127.0.0.1', port, accessKeys: [{ name: 'run', hash: hashKey(key) }] }
  const proxy = createProxy({ config: mine, environment: context.environment, usageFolder: toUsageFolder(context) })
  const { port: chosen } = await proxy.listen()
  return { url: `http://127.0.0.1:${chosen}`, key, close: () => proxy.close(0) }
}

export async function runChild({ output }: CommandContext, command: string, args: readonly string[], env: Environment): Promise<number> {
  const windows = process.platform === 'win32'
  // There, most tools are .cmd files, which only a shell can start; it wants quotes around spaces (pitfall W5).
  const [program = '', ...rest] = windows ? [command, ...args].map(quoteForCmd) : [command, ...args]
  let child: ChildProcess | undefined
  function forward(signal: NodeJS.Signals): void {
    // A terminal sends Ctrl-C to the child itself, and two of them mean something else to many tools.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child?.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, forward)
  try {
    child = spawn(program, rest, { stdio: 'inherit', env, shell: windows })
    const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null]
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException // also one that comes at once: E2BIG, ENOTDIR
    output.note(`dario: ${command} cannot be started (${code}); ${code === 'ENOENT' ? 'is it installed and in PATH?' : 'is it a program that you may run?'}`)
    return code === 'ENOENT' ? 127 : 126
  } finally {
    for (const signal of signals) process.off(signal, forward)
  }
}

function quoteForCmd(word: string): string {
  if (/^[\w./:=@,+\\-]+$/.test(word)) return word
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`
}
