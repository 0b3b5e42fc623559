/**
 * Starts the real programs of the npm registry, headless, in an empty home and a folder with one file.
 * @module
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createBareEnvironment } from '../../scripts/check/running.ts'
import { PIXEL } from './harness.ts'

export interface Place {
  home: string
  work: string
  /** What the program must quote: only its own tools can know it. */
  secret: string
  /** The file that holds the secret. */
  file: string
  picture: string
}

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/** Removed with the test. */
export function makePlace(context: TestContext): Place {
  const root = mkdtempSync(join(tmpdir(), 'dario-program-'))
  const [home, work] = [join(root, 'home'), join(root, 'work')]
  mkdirSync(home)
  mkdirSync(work)
  const secret = `secret-${Math.random().toString(36).slice(2)}`
  const file = join(work, 'note.txt')
  writeFileSync(file, `${secret}\n`)
  const picture = join(work, 'picture.png')
  writeFileSync(picture, Buffer.from(PIXEL, 'base64'))
  context.after(async () => {
    stopDaemons(root)
    // Not rmSync, which does not look again for what a program that is ending has written meanwhile.
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  })
  return { home, work, secret, file, picture }
}

/** Some programs leave one behind, outside of their group, with the folder among its arguments (Cline's hub). */
function stopDaemons(root: string): void {
  if (!existsSync('/proc')) return
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(root)) process.kill(Number(pid), 'SIGKILL')
    } catch { /* gone */ }
  }
}

/** Ends within `withinMs` or is killed, with what it started. */
export async function runProgram(
  command: string, args: readonly string[], { home, work }: Place, environment: Record<string, string>, withinMs = 90_000,
): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: work, env: { ...createBareEnvironment(home), ...environment }, stdio: ['ignore', 'pipe', 'pipe'], detached: true,
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => { output.stdout += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { output.stderr += chunk.toString() })
  const kill = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL') // its group: tools that it ran included
    } catch { /* gone */ }
  }
  const late = setTimeout(kill, withinMs)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    return { code, ...output }
  } finally {
    clearTimeout(late)
    kill()
  }
}

/** A program's own binary inside its platform package; install scripts, which would link it, are never run. */
export function findBinary(packages: readonly string[], inside: readonly string[]): string {
  const modules = join(import.meta.dirname, 'node_modules')
  const platform = `${process.platform === 'win32' ? 'win32' : process.platform}-${process.arch}`
  for (const name of packages) for (const path of inside) {
    const folder = join(modules, name.replace('PLATFORM', platform))
    const [head = '', ...rest] = path.split('/')
    const heads = head === '*' && existsSync(folder) ? readdirSync(folder) : [head]
    for (const found of heads) if (existsSync(join(folder, found, ...rest))) return join(folder, found, ...rest)
  }
  throw new Error(`none of ${packages.join(', ')} is installed for ${platform}: npm ci --prefix test/compat --ignore-scripts`)
}

export const claudeProgram = (): string => findBinary(['@anthropic-ai/claude-code-PLATFORM'], ['claude', 'claude.exe'])
export const opencodeProgram = (): string => findBinary(['opencode-PLATFORM'], ['bin/opencode', 'bin/opencode.exe'])
export const codexScript = (): string => findBinary(['@openai/codex'], ['bin/codex.js'])
