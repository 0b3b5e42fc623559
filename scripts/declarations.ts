/**
 * The second half of the build. Declarations: with their comments, which the compiler leaves out of the JavaScript, and
 * only those that a consumer's compiler reaches from the entry points in package.json. JavaScript: indented as the source
 * is, so that the two compare line by line, and a fifteenth of the package is not spaces; none of a source that is gone.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSource } from './check/source.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')

/** `./types.ts` and `./types.js` are both declared by `./types.d.ts`. */
const toDeclaration = (path: string): string => path.replace(/\.([cm]?)[jt]s$/, '.d.$1ts')

/** Everything that `name`, a path below `folder`, stands on. */
function follow(folder: string, name: string, found: Set<string>): void {
  if (found.has(name)) return
  found.add(name)
  const text = readFileSync(join(folder, name), 'utf8')
  for (const [, from = ''] of text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]*)['"]/g)) {
    follow(folder, normalize(join(dirname(name), toDeclaration(from))), found)
  }
}

/** The compiler's four spaces as two. A literal that goes on over a line end would change with them, so none may. */
function indentAsSource(path: string): void {
  const text = readFileSync(path, 'utf8')
  const broken = readSource(text).bare.split('\n').findIndex((line) => line.split('`').length % 2 === 0)
  if (broken !== -1) throw new Error(`${path}:${broken + 1}: a template literal goes on over the end of a line; join lines with +`)
  writeFileSync(path, text.replace(/^ +/gm, (spaces) => spaces.slice(spaces.length / 2)))
}

const folder = mkdtempSync(join(tmpdir(), 'dario-declarations-'))
try {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath,
    [tsc, '--project', ROOT, '--emitDeclarationOnly', '--removeComments', 'false', '--outDir', folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the declarations do not compile: ${stdout}`)
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { exports: Record<string, string | { types: string }> }
  const found = new Set<string>()
  for (const entry of Object.values(exports)) if (typeof entry === 'object') follow(folder, normalize(entry.types.replace('./dist/', '')), found)
  const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' })
  for (const name of files) if (/\.d\.[cm]?ts$/.test(name) && !found.has(name)) rmSync(join(DIST, name))
  for (const name of found) copyFileSync(join(folder, name), join(DIST, name))
  for (const name of files.filter((file) => /\.c?js$/.test(file))) {
    // The compiler leaves what it once made of a source that is gone: a package of this folder would hold it too.
    if (existsSync(join(folder, toDeclaration(name)))) indentAsSource(join(DIST, name))
    else rmSync(join(DIST, name))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
