/**
 * `dario` and `dario proxy`: serve until a signal, follow the configuration file.
 * @module
 */
import { createServer } from 'node:net'
import type { Config } from '../config.ts'
import { watchConfig } from '../config-file.ts'
import { DarioError } from '../errors.ts'
import { createProxy } from '../proxy.ts'
import type { Proxy } from '../proxy.ts'
import { readVersion } from '../version.ts'
import { assemble, findRunning, toSource, warn } from './command.ts'
import type { Assembled, Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'

const GRACE = 10_000 // ms for streams to finish

export const serve: Command = async (context) => {
  const assembled = await assemble(context)
  const { config } = assembled
  const proxy = createProxy({ config, environment: context.environment })
  const { url } = await listen(proxy, config)
  printBanner(context, url, assembled)
  const watcher = watchConfig(
    toSource(context),
    async (parsed) => {
      for (const warning of parsed.warnings) warn(context, warning)
      const next = (await assemble(context, parsed)).config
      proxy.update(next)
      const moved = next.port !== config.port || next.host !== config.host
      context.output.note(`configuration read again${moved ? '; host and port change with the next start' : ''}`)
    },
    (error) => warn(context, `${error.message}; dario goes on with the configuration it has`),
  )
  const code = await untilSignal(context, proxy)
  watcher.close()
  return code
}

/** Says who holds the port, and what to do (pitfall W3). */
export async function listen(proxy: Proxy, { port, host }: Config): Promise<{ url: string; port: number }> {
  try {
    return await proxy.listen()
  } catch (error) {
    const { code, cause } = error as NodeJS.ErrnoException
    const reason = code ?? (cause as NodeJS.ErrnoException | undefined)?.code
    if (reason === 'EADDRINUSE') {
      const running = await findRunning(port)
      const next = `start one on another port: dario --port ${await findFreePort(port + 1)}`
      throw new DarioError('conflict', running === undefined
        ? `port ${port} is taken by another program; ${next}`
        : `dario ${running.version} already runs at ${running.url}; use that one, or ${next}`)
    }
    if (reason === 'EACCES') throw new DarioError('permission', `port ${port} needs more rights; take one above 1023: dario --port 3456`)
    if (reason === 'EADDRNOTAVAIL') throw new DarioError('config_invalid', `${host} is not an address of this machine; leave host out`)
    throw error
  }
}

async function findFreePort(first: number): Promise<number> {
  for (let port = first; port < Math.min(first + 20, 65_536); port++) {
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer().once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
  return 0 // the system picks one
}

function printBanner({ output }: CommandContext, url: string, { config, discovered, file }: Assembled): void {
  const names = discovered?.found ?? Object.keys(config.backends)
  output.line(`${output.style('bold', `dario ${readVersion()}`)} listens on ${output.style('cyan', url)}`)
  output.line()
  output.line(`  backends: ${names.map(cleanText).join(', ')}`)
  if (discovered === undefined) output.line(output.style('dim', `  from ${file}`))
  else if (discovered.missing.length > 0) output.line(output.style('dim', `  looked for and not found: ${discovered.missing.join(', ')}`))
  if (discovered?.backends['plan'] !== undefined && discovered.backends['anthropic'] !== undefined) {
    output.line('  claude models go to the plan, which cannot cost extra; anthropic/MODEL uses the key')
  }
  output.line()
  output.line('Point a tool at it with these lines, or start the tool with: dario run -- COMMAND')
  output.line(`  export ANTHROPIC_BASE_URL=${url}`)
  output.line(`  export OPENAI_BASE_URL=${url}/v1`)
  output.line()
}

/** The first signal lets streams finish, the second one does not wait. */
async function untilSignal({ output }: CommandContext, proxy: Proxy): Promise<number> {
  return await new Promise((resolve, reject) => {
    let closing = false
    function stop(): void {
      if (closing) return resolve(1)
      closing = true
      output.note(`closing; answers under way have ${GRACE / 1000} s to finish, a second signal ends them now`)
      proxy.close(GRACE).then(() => resolve(0), reject)
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  })
}
