/**
 * The processes of a measurement: the benchmark's own files compiled once to plain JavaScript, so that nothing but
 * Node runs in what is measured, and each measured process with a meter on its IPC channel.
 * @module
 */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createBareEnvironment } from '../check/running.ts'
import type { Job, Result } from './load.ts'

export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url))

export interface Reading {
  /** Microseconds of processor time since the process began. */
  cpu: number
  /** Bytes resident. */
  rss: number
}

export interface Measured {
  name: string
  url: string
  read(): Promise<Reading>
  stop(): Promise<void>
}

export interface Workshop {
  start(name: string, script: string, args: readonly string[], environment?: NodeJS.ProcessEnv): Promise<Measured>
  load(job: Job): Promise<Result>
  /** Writes a file into the workshop's own folder and returns its path. */
  write(name: string, text: string): string
  /** Forgets what measured processes wrote at home: a ledger of a million requests is not a fresh start. */
  forget(): void
  close(): Promise<void>
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** Compiles `scripts/bench` and returns what starts processes from it. `script` is a name of ours or a path. */
export function createWorkshop(): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'dario-bench-'))
  const built = join(folder, 'built')
  mkdirSync(built)
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: { rootDir: join(ROOT, 'scripts/bench'), outDir: built, typeRoots: [join(ROOT, 'node_modules/@types')] },
    include: [], files: ['upstream', 'pipe', 'quiet', 'translator', 'load', 'meter'].map((name) => join(ROOT, `scripts/bench/${name}.ts`)),
  }))
  const tsc = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--project', folder], { encoding: 'utf8' })
  if (tsc.status !== 0) throw new Error(`the benchmark does not compile: ${tsc.stdout}`)

  const children = new Set<ChildProcess>()
  const fork = (args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcess => {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...createBareEnvironment(folder), ...environment }, cwd: folder,
    })
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }
  const loader = fork([join(built, 'load.js')])
  const meter = ['--import', pathToFileURL(join(built, 'meter.js')).href]
  loader.stderr?.pipe(process.stderr)

  return {
    async start(name, script, args, environment) {
      const child = fork([...meter, isAbsolute(script) ? script : join(built, `${script}.js`), ...args], environment)
      let output = ''
      const url = await new Promise<string>((resolve, reject) => {
        const read = (chunk: Buffer): void => {
          if (output.length > 10_000) return // a log
          output += chunk.toString()
          const found = /http:\/\/(?:localhost|127\.0\.0\.1):\d+/.exec(output)?.[0]
          // By address: `localhost` would measure the resolver too.
          if (found !== undefined) resolve(found.replace('localhost', '127.0.0.1'))
        }
        child.stdout?.on('data', read)
        child.stderr?.on('data', read)
        child.once('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${output}`)))
      })
      return {
        name, url,
        async read() {
          const answer = once(child, 'message')
          child.send('read')
          return (await answer)[0] as Reading
        },
        stop: () => stop(child),
      }
    },
    async load(job) {
      const answer = once(loader, 'message')
      loader.send(job)
      const result = (await answer)[0] as Result
      if (result.failure !== undefined) throw new Error(`${job.url} ${job.shape} ${job.dialect}: ${result.failure}`)
      return result
    },
    write(name, text) {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    },
    forget: () => rmSync(join(folder, '.dario'), { recursive: true, force: true }),
    async close() {
      await Promise.all([...children].map(stop))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
