/**
 * The README's code blocks: shell commands run against a real dario, TypeScript is compiled and run, configurations
 * are read by dario itself. A block that shows output, or needs the network, is marked `text`.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBareEnvironment, startDario } from './running.ts'

export interface Block {
  line: number
  language: string
  /** Words after the language: `ts run`. */
  marks: string[]
  code: string
}

export function readBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  for (const found of markdown.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)) {
    blocks.push({
      line: markdown.slice(0, found.index).split('\n').length,
      language: found[1] ?? '',
      marks: (found[2] ?? '').trim().split(/\s+/).filter((mark) => mark !== ''),
      code: found[3] ?? '',
    })
  }
  return blocks
}

/** Commands of a block, continuation lines joined, comments left out. */
export function readCommands(code: string): string[] {
  const commands: string[] = []
  let open = ''
  for (const line of code.split('\n')) {
    if (open === '' && (line.trim() === '' || line.startsWith('#'))) continue
    open += open === '' ? line : `\n${line}`
    const quotes = open.replace(/\\./gs, '').match(/'/g)?.length ?? 0
    if (line.endsWith('\\') || quotes % 2 === 1) continue
    commands.push(open)
    open = ''
  }
  return commands
}

/** Commands that start something for good, install, or need a published package: shown, not run. */
const SHOWN_ONLY = /^(?:npm |npx dario$|npx dario@|dario$|dario proxy|(?:npx )?dario (?:run|shim) |git |cd |export |eval |[A-Z_]+=\S+ (?:npx )?dario$)/

interface Place {
  root: string
  folder: string
  url: string
}

function runCommand(place: Place, at: string, command: string): string[] {
  if (SHOWN_ONLY.test(command)) return []
  const port = new URL(place.url).port
  const script = command.replaceAll('3456', port).replace(/(^|\| )(?:npx )?dario /g, `$1node "${join(place.root, 'bin/dario.js')}" `)
  const environment = { ...createBareEnvironment(place.folder), CURL_HOME: place.folder }
  const result = spawnSync('sh', ['-c', script], { cwd: place.folder, env: environment, encoding: 'utf8', timeout: 30_000 })
  if (result.status === 0 && result.stdout.trim() !== '') return []
  return [`${at}: "${command.split('\n')[0]}" ended with ${result.status}: ${(result.stdout + result.stderr).trim().slice(0, 400)}`]
}

function compile(place: Place, at: string, name: string, block: Block): string[] {
  const file = join(place.folder, `${name}.ts`)
  writeFileSync(file, block.code)
  writeFileSync(join(place.folder, 'tsconfig.json'), JSON.stringify({
    extends: join(place.root, 'tsconfig.json'),
    compilerOptions: { noEmit: true, rootDir: place.folder, isolatedDeclarations: false, typeRoots: [join(place.root, 'node_modules/@types')] },
    include: [], files: [`${name}.ts`],
  }))
  const tsc = spawnSync(process.execPath, [join(place.root, 'node_modules/typescript/bin/tsc'), '--project', place.folder], { encoding: 'utf8' })
  if (tsc.status !== 0) return [`${at}: does not compile: ${(tsc.stdout + tsc.stderr).trim().slice(0, 600)}`]
  if (!block.marks.includes('run')) return []
  const tsx = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href
  const run = spawnSync(process.execPath, ['--import', tsx, file], {
    cwd: place.folder, env: createBareEnvironment(place.folder), encoding: 'utf8', timeout: 30_000,
  })
  return run.status === 0 ? [] : [`${at}: ended with ${run.status}: ${(run.stdout + run.stderr).trim().slice(0, 600)}`]
}

function checkConfiguration(place: Place, at: string, block: Block): string[] {
  const file = join(place.folder, 'config.json')
  writeFileSync(file, block.code, { mode: 0o600 })
  // The example's keys come from the environment; any value will do for reading it.
  const environment = createBareEnvironment(place.folder)
  for (const found of block.code.matchAll(/"env:(\w+)"/g)) environment[found[1] ?? ''] = 'example'
  const result = spawnSync(process.execPath, [join(place.root, 'bin/dario.js'), 'config', 'check', '--config', file], {
    cwd: place.folder, env: environment, encoding: 'utf8', timeout: 30_000,
  })
  return result.status === 0 ? [] : [`${at}: is not a valid configuration: ${(result.stdout + result.stderr).trim().slice(0, 400)}`]
}

/** Compiles, runs or reads every block of the README and of SECURITY.md. Needs a build. */
export async function checkExamples(root: string): Promise<string[]> {
  if (!existsSync(join(root, 'dist/cli/main.js'))) return ['the code blocks need a build: npm run build']
  const folder = mkdtempSync(join(tmpdir(), 'dario-examples-'))
  const problems: string[] = []
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/dario'), 'junction')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, '.curlrc'), 'fail-with-body\nsilent\nshow-error\nmax-time = 20\n')
  const dario = await startDario(root)
  try {
    const place: Place = { root, folder, url: dario.url }
    for (const document of ['README.md', 'SECURITY.md']) {
      for (const [index, block] of readBlocks(readFileSync(join(root, document), 'utf8').replaceAll('\r\n', '\n')).entries()) {
        const at = `${document}:${block.line}`
        if (block.language === 'sh' && process.platform !== 'win32') {
          for (const command of readCommands(block.code)) problems.push(...runCommand(place, at, command))
        } else if (block.language === 'ts') problems.push(...compile(place, at, `block-${index}`, block))
        else if (block.language === 'json') problems.push(...checkConfiguration(place, at, block))
      }
    }
  } finally {
    await dario.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return problems
}
