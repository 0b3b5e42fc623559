/**
 * `dario` and `dario proxy`: serve until a signal, follow the configuration file.
 * @module
 */
import { resolve as resolvePath } from 'node:path'
import { watchConfig } from '../config/file.ts'
import { listSecrets } from '../config/parse.ts'
import type { Config, ParsedConfig } from '../config/types.ts'
import { oneOf } from '../config/values.ts'
import { DarioError } from '../errors.ts'
import { keepAtExit, takeBack } from '../observe/append.ts'
import { LEVELS, createLog, createLogFile } from '../observe/log.ts'
import type { Log } from '../observe/log.ts'
import { createRedactor } from '../observe/redact.ts'
import { createWaiting, reuse } from '../observe/waiting.ts'
import { createProxy } from '../proxy.ts'
import type { Proxy } from '../proxy.ts'
import { readVersion } from '../version.ts'
import { assemble, text, toSource, toUsageFolder, warn } from './command.ts'
import type { Assembled, Command, CommandContext } from './command.ts'
import { cleanText, describePlan } from './output.ts'

const GRACE = 10_000 // ms for streams to finish
const MOMENT = 20 // ms, less than a person sees

export const serve: Command = async (context) => {
  const assembled = await assemble(context)
  const captureFolder = text(context, 'capture')
  const secrets = new Set(listSecrets(assembled.config))
  const log = openLog(context, secrets)
  const proxy = createProxy({
    config: assembled.config, environment: context.environment, log: (line) => log.say('warn', line), observer: log.observer,
    usageFolder: toUsageFolder(context), captureFolder: captureFolder === undefined ? undefined : resolvePath(captureFolder),
  })
  const watcher = follow(context, assembled, (next) => {
    for (const secret of listSecrets(next)) secrets.add(secret)
    proxy.update(next)
  })
  try {
    const { url } = await proxy.listen().catch((error: NodeJS.ErrnoException) => refuse(error, assembled.config.host))
    printBanner(context, url, assembled)
    if (captureFolder !== undefined) warn(context, `prompts and answers are written to ${captureFolder}; delete it when the bug is reported`)
    void tellPlans(context, assembled).catch(() => {})
    return await untilSignal(context, proxy)
  } finally {
    watcher.close()
    await log.close()
  }
}

function refuse(error: NodeJS.ErrnoException, host: string | undefined): never {
  if (error.syscall !== 'listen' && error.syscall !== 'getaddrinfo') throw error
  throw new DarioError('config_invalid', `cannot listen on ${host} (${error.code}); "host", or --host, is an address of this machine`)
}

/** Lines of a moment in one write: under load a write per line costs a tenth of a small request. */
function createBatch(write: (lines: Buffer) => void): { add(line: string): void; flush(): void } {
  const waiting = createWaiting(Infinity)
  function flush(): void {
    takeBack(flush)
    waiting.take().forEach(write)
  }
  return {
    add(line) {
      if (waiting.size === 0) {
        setTimeout(flush, MOMENT)
        keepAtExit(flush)
      }
      waiting.add(line)
    },
    flush,
  }
}

function openLog(context: CommandContext, secrets: ReadonlySet<string>): Log & { close(): Promise<void> } {
  const colours = { debug: 'dim', info: undefined, warn: 'yellow', error: 'red' } as const
  const path = text(context, 'log-file')
  const file = path === undefined ? undefined : createLogFile(path, (problem) => log.say('error', problem), Date.now)
  const isPretty = process.stderr.isTTY
  const batch = createBatch((lines) => {
    // The same lines in both: to turn them into bytes costs more than to copy those.
    if (!isPretty) file?.add(lines)
    process.stderr.write(lines, () => reuse([lines]))
  })
  const log = createLog({
    format: isPretty ? 'pretty' : 'json',
    level: oneOf(LEVELS)(text(context, 'log-level') ?? 'info', '--log-level'),
    write: batch.add,
    writeJson: isPretty ? file?.add : undefined,
    redact: createRedactor(() => secrets),
    countSecrets: () => secrets.size,
    clean: cleanText,
    paint: (of, line) => (colours[of] === undefined ? line : context.output.style(colours[of], line)),
    now: Date.now,
  })
  return {
    ...log,
    close() {
      batch.flush()
      return file?.close() ?? Promise.resolve()
    },
  }
}

/** Takes each new configuration; a bad edit is reported and changes nothing (pitfall W4). */
function follow(context: CommandContext, { config }: Assembled, use: (next: Config) => void): { close(): void } {
  const complain = (error: Error): void => warn(context, `${error.message}; dario goes on with the configuration it has`)
  async function take(parsed: ParsedConfig): Promise<void> {
    for (const warning of parsed.warnings) warn(context, warning)
    const next = (await assemble(context, parsed)).config
    use(next)
    const moved = next.port !== config.port || next.host !== config.host
    context.output.note(`configuration read again${moved ? '; host and port change with the next start' : ''}`)
  }
  let last = Promise.resolve() // to look around takes a while: what was edited later must not be overtaken
  return watchConfig(toSource(context), (parsed) => { last = last.then(() => take(parsed)).catch(complain) }, complain)
}

function printBanner(context: CommandContext, url: string, { config, discovered }: Assembled): void {
  const { output } = context
  const names = discovered?.found ?? Object.keys(config.backends)
  output.line(`${output.style('bold', `dario ${readVersion()}`)} listens on ${output.style('cyan', url)}\n`)
  output.line(`  backends: ${names.map(cleanText).join(', ')}`)
  if (discovered === undefined) output.line(output.style('dim', `  from ${toSource(context).file}`))
  else if (discovered.missing.length > 0) output.line(output.style('dim', `  looked for and not found: ${discovered.missing.join(', ')}`))
  if (discovered?.backends['plan'] !== undefined && discovered.backends['anthropic'] !== undefined) {
    output.line('  claude models go to the plan; anthropic/MODEL uses the key')
  }
  output.line('\nPoint a tool at it with these lines, or start the tool with: dario run -- COMMAND')
  output.line(`  export ANTHROPIC_BASE_URL=${url}\n  export OPENAI_BASE_URL=${url}/v1\n`)
}

/** After the banner: the program takes half a second to say who it is. */
async function tellPlans(context: CommandContext, { config }: Assembled): Promise<void> {
  const plans = Object.entries(config.backends).filter(([, { type }]) => type === 'claude-code')
  if (plans.length === 0) return
  const { askClaude } = await import('../survey.ts')
  await Promise.all(plans.map(async ([name, backend]) => {
    const status = await askClaude(context.environment, backend)
    context.output.note(cleanText(`${name}: ${describePlan(status)}`))
    if (status.hint !== undefined) warn(context, `${name}: ${status.hint}`)
  }))
}

/** The first signal lets streams finish, the second one does not wait. */
async function untilSignal({ output }: CommandContext, proxy: Proxy): Promise<number> {
  return await new Promise((resolve, reject) => {
    let stop = (): void => {
      stop = () => resolve(1)
      output.note(`closing; answers under way have ${GRACE / 1000} s to finish, a second signal ends them now`)
      proxy.close(GRACE).then(() => resolve(0), reject)
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop())
  })
}
