/**
 * Shows that the tarball can be rebuilt: packs the committed state twice from clean clones and compares digests, or,
 * with `verify VERSION`, rebuilds the tag of a published version and compares it with what the registry gives out.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'dario-pack-'))
const windows = process.platform === 'win32'

function run(program: string, args: readonly string[], cwd: string): string {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', shell: windows && program === 'npm' })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${result.status}:\n${result.stdout}${result.stderr}`)
  return result.stdout.trim()
}

/** Clones `ref`, installs exactly the locked tools, builds, packs; returns the digest as npm writes it. */
function build(ref: string, name: string): string {
  const clone = join(folder, name)
  const out = join(folder, `${name}-out`)
  mkdirSync(out)
  run('git', ['clone', '--quiet', '--no-local', ROOT, clone], folder)
  run('git', ['-c', 'advice.detachedHead=false', 'checkout', '--quiet', ref], clone)
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'], clone)
  run('npm', ['run', '--silent', 'build'], clone)
  run('npm', ['pack', '--silent', '--pack-destination', out], clone)
  const [tarball = ''] = readdirSync(out)
  return `sha512-${createHash('sha512').update(readFileSync(join(out, tarball))).digest('base64')}`
}

/** @returns whether the two digests are the same, having said so. */
function compare(one: readonly [string, string], other: readonly [string, string]): boolean {
  const same = one[1] === other[1]
  console.log(`${one[0]}: ${one[1]}\n${other[0]}: ${other[1]}\n${same ? 'identical' : 'DIFFERENT'} (npm ${run('npm', ['--version'], ROOT)})`)
  return same
}

try {
  const [command, version] = process.argv.slice(2)
  if (command === 'verify' && version !== undefined && /^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version)) {
    const published = run('npm', ['view', `dario@${version}`, 'dist.integrity'], ROOT)
    const same = compare([`published ${version}`, published], [`rebuilt from v${version}`, build(`v${version}`, 'tag')])
    process.exitCode = same ? 0 : 1
  } else if (command === undefined) {
    const head = run('git', ['rev-parse', 'HEAD'], ROOT)
    process.exitCode = compare(['first build', build(head, 'first')], ['second build', build(head, 'second')]) ? 0 : 1
  } else {
    console.error('usage: npm run rebuild, or npm run verify -- VERSION')
    process.exitCode = 2
  }
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
