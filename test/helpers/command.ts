/**
 * The command line as a real child process, with a home folder of its own.
 * @module
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { withDeadline } from './deadline.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')

export interface CommandOptions {
  environment?: Record<string, string>
  input?: string | undefined
  /** Folder from `buildDario`: starts in a fifth of the time. */
  built?: string
}

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface Started {
  child: ChildProcess
  /** Resolves when stdout and stderr together match; rejects when it ends first. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  finished: Promise<Finished>
}

export function createHome(context: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'dario-test-'))
  context.after(() => rmSync(home, { recursive: true, force: true }))
  return home
}

/** Only what is given reaches the child: no key of the developer's machine. */
export function startDario(
  context: TestContext, home: string, args: readonly string[],
  { environment = {}, input = '', built }: CommandOptions = {},
): Started {
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, ...environment }
  const child = spawn(process.execPath, [...(built === undefined ? ['--import', TSX, MAIN] : [join(built, 'dist/cli/main.js')]), ...args], { env, cwd: home, stdio: 'pipe' })
  context.after(() => child.kill('SIGKILL'))
  child.stdin.on('error', () => {}) // a child that ends without reading is fine
  child.stdin.end(input)
  let [stdout, stderr, ended] = ['', '', false]
  const listeners = new Set<() => void>()
  const tell = (): void => listeners.forEach((listener) => listener())
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; tell() })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; tell() })
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (code) => {
      ended = true
      tell()
      resolve({ code, stdout, stderr })
    })
  })
  return {
    child,
    finished: withDeadline(finished, 30_000, `dario ${args.join(' ')}`),
    says: (pattern) => withDeadline(new Promise((resolve, reject) => {
      function look(): void {
        const found = pattern.exec(`${stdout}\n${stderr}`)
        if (found === null && !ended) return
        listeners.delete(look)
        if (found === null) reject(new Error(`ended without ${pattern}: ${stdout}${stderr}`))
        else resolve(found)
      }
      listeners.add(look)
      look()
    }), 30_000, `dario saying ${pattern}`),
  }
}

export function runDario(
  context: TestContext, home: string, args: readonly string[],
  options: CommandOptions = {},
): Promise<Finished> {
  return startDario(context, home, args, options).finished
}
