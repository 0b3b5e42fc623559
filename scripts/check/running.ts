/**
 * A real dario from `bin`, in a home of its own, for checks and measurements.
 * @module
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** An environment in which nothing of this machine's user is found: no keys, no programs but Node, an empty home. */
export function createBareEnvironment(home: string): NodeJS.ProcessEnv {
  const kept = ['PATH', 'SystemRoot', 'ComSpec', 'PATHEXT', 'TEMP', 'TMP', 'TMPDIR']
  const environment: NodeJS.ProcessEnv = { HOME: home, USERPROFILE: home, NO_COLOR: '1' }
  for (const name of kept) if (process.env[name] !== undefined) environment[name] = process.env[name]
  return environment
}

export interface RunningDario {
  url: string
  child: ChildProcess
  home: string
  stop(): Promise<void>
}

/** Starts `bin/dario.js` of the built package at `root` on a free port. */
export async function startDario(root: string, args: readonly string[] = [], withinMs = 20_000): Promise<RunningDario> {
  const home = mkdtempSync(join(tmpdir(), 'dario-home-'))
  const child = spawn(process.execPath, [join(root, 'bin/dario.js'), 'proxy', '--port', '0', ...args], {
    env: createBareEnvironment(home), cwd: home, stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const found = new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`dario printed no address within ${withinMs} ms:\n${output}`)), withinMs)
    const read = (chunk: Buffer): void => {
      output += chunk.toString()
      const url = /http:\/\/(?:localhost|127\.0\.0\.1|\[::1\]):\d+/.exec(output)?.[0]
      if (url === undefined) return
      clearTimeout(late)
      resolve(url)
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`dario ended with ${code}:\n${output}`)))
  })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      const hard = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await gone
      clearTimeout(hard)
    }
    rmSync(home, { recursive: true, force: true })
  }
  try {
    return { url: await found, child, home, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
