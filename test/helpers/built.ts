/**
 * The program as it ships: compiled once per test file, since a Node option cannot load TypeScript.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Returns the folder that holds `dist`; gone when the file's tests have ended. */
export function buildDario(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dario-built-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--outDir', join(folder, 'dist')], { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(stdout)
  return folder
}
