/**
 * Tests the packed package rather than the checkout: installs a tarball offline into an empty folder, runs its
 * command line, sends one request per dialect through it, imports it and compiles against it.
 * @module
 */
import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createBareEnvironment, startDario } from './check/running.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const tarball = resolve(process.argv[2] ?? '')
const folder = mkdtempSync(join(tmpdir(), 'dario-package-'))
const windows = process.platform === 'win32'

/** Runs a program and returns what it printed; a failure throws with everything it said. */
function run(program: string, args: string[], cwd = folder): string {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 120_000, shell: windows, env: createBareEnvironment(folder) })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${result.status}:\n${result.stdout}${result.stderr}`)
  return result.stdout
}

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return name
}

async function ask(url: string, path: string, body: unknown): Promise<string> {
  const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const text = await answer.text()
  strictEqual(answer.status, 200, text)
  return text
}

function checkImports(): void {
  write('esm.mjs', "import { createProxy } from 'dario'\nif (typeof createProxy !== 'function') process.exit(1)\n")
  run(process.execPath, ['esm.mjs'])
  // `require` of ESM is in every Node that we run on, unless it is switched off: then the error must say what to do.
  write('cjs.cjs', "try { console.log(typeof require('dario').createProxy) } catch ({ code, message }) { console.log(code, /import/.test(message)) }\n")
  match(run(process.execPath, ['cjs.cjs']), /^function\s*$/)
  const switchOff = '--no-experimental-require-module'
  if (process.allowedNodeEnvironmentFlags.has(switchOff)) match(run(process.execPath, [switchOff, 'cjs.cjs']), /^ERR_REQUIRE_ESM true\s*$/)
  // Libraries are checked too, so that a declaration which does not ship is missed.
  write('types.mts', "import { createProxy } from 'dario'\nimport { install } from 'dario/shim'\n"
    + 'export const proxy: ReturnType<typeof createProxy> = createProxy({})\ninstall({ proxy })\n')
  for (const [module, moduleResolution] of [['node16', 'node16'], ['esnext', 'bundler']] as const) {
    write('tsconfig.json', JSON.stringify({
      compilerOptions: {
        strict: true, noEmit: true, module, moduleResolution, target: 'es2022', types: ['node'], skipLibCheck: false,
        typeRoots: [join(root, 'node_modules/@types')],
      },
      files: ['types.mts'],
    }))
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', folder])
  }
}

/** Declarations for editors, with their comments, and nothing that no consumer can reach; code without comments. */
function checkContents(installed: string): void {
  const read = (name: string): string => readFileSync(join(installed, name), 'utf8')
  match(read('dist/proxy.d.ts'), /\/\*\* Answers without a socket/)
  doesNotMatch(read('dist/proxy.js'), /\/\*\*/)
  const files = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })
  deepStrictEqual(files.filter((name) => name.endsWith('.d.ts') && /exchange\.|dialect\.|cli/.test(name)), [])
}

try {
  write('package.json', '{ "private": true }')
  run(windows ? 'npm.cmd' : 'npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball])
  deepStrictEqual(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')), ['dario'])
  const installed = join(folder, 'node_modules/dario')
  const { version } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { version: string }
  ok(run(windows ? 'npx.cmd' : 'npx', ['--offline', 'dario', '--version']).includes(version))

  const dario = await startDario(installed)
  try {
    const messages = [{ role: 'user', content: 'hello package' }]
    match(await ask(dario.url, '/v1/messages', { model: 'echo', max_tokens: 100, messages }), /hello package/)
    match(await ask(dario.url, '/v1/chat/completions', { model: 'echo', messages }), /hello package/)
    match(await ask(dario.url, '/v1/responses', { model: 'echo', input: 'hello package' }), /hello package/)
  } finally {
    await dario.stop()
  }
  checkImports()
  checkContents(installed)
  console.log(`package-test: dario ${version} installs, starts, answers in three dialects, imports and type-checks on ${process.version}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
