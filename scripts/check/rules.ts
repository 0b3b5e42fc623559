/**
 * The rules of the house as functions: each takes the files and returns the sentences of what is wrong.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, posix } from 'node:path'
import { CEILING, DEFAULT_LINES, FILES, IGNORED, LAYERS, TOP_LEVEL } from '../house.ts'
import type { FileRule, LayerRule } from '../house.ts'
import { readEffects, readSource } from './source.ts'
import type { Import, Source } from './source.ts'

export interface SourceFile extends Source {
  /** From the top of the repository, with forward slashes. */
  path: string
}

function walk(folder: string, below: string): string[] {
  return readdirSync(join(folder, below), { withFileTypes: true })
    .filter((entry) => entry.name !== 'node_modules')
    .flatMap((entry) => (entry.isDirectory() ? walk(folder, posix.join(below, entry.name)) : [posix.join(below, entry.name)]))
    .sort()
}

/** Files below a folder of the repository. */
export function listFiles(root: string, below: string): string[] {
  return statSync(join(root, below), { throwIfNoEntry: false }) === undefined ? [] : walk(root, below)
}

/** Every file that ships or is compiled into what ships. */
export function readHouse(root: string): SourceFile[] {
  return ['src', 'bin'].flatMap((folder) => listFiles(root, folder))
    .map((path) => ({ path, ...readSource(readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n')) }))
}

const isCode = (path: string): boolean => /\.[cm]?[jt]s$/.test(path)

/** A `*` at the end stands for everything below, one in the middle for a part of a file's name. */
function matches(pattern: string, path: string): boolean {
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*$/, '.*').replace(/(?<!\.)\*/g, '[^/]*')
  return new RegExp(`^${source}$`).test(path)
}

export function ruleOf(path: string): FileRule | undefined {
  const pattern = Object.keys(FILES).filter((one) => matches(one, path)).sort((a, b) => b.length - a.length)[0]
  return FILES[path] ?? (pattern === undefined ? undefined : FILES[pattern])
}

export function layerOf(path: string): [string, LayerRule] | undefined {
  return Object.entries(LAYERS).find(([, layer]) => layer.files.some((pattern) => matches(pattern, path)))
}

export function checkBudgets(files: readonly SourceFile[]): string[] {
  const problems: string[] = []
  for (const { path, lines } of files) {
    const rule = ruleOf(path)
    const most = rule?.lines ?? DEFAULT_LINES
    if (rule === undefined || (isCode(path) && layerOf(path) === undefined)) {
      problems.push(`${path}: not in the plan of the house; add its folder to FILES and LAYERS in scripts/house.ts`)
    } else if (lines > most) {
      problems.push(`${path}: ${lines} lines, ${most} allowed; cut it, or raise its number in scripts/house.ts and say why in the commit`)
    }
  }
  for (const pattern of Object.keys(FILES)) {
    if (!files.some((file) => matches(pattern, file.path))) problems.push(`scripts/house.ts: FILES names ${pattern}, which does not exist; take it out`)
  }
  return problems
}

export function checkCeiling(files: readonly SourceFile[]): string[] {
  const total = files.reduce((sum, file) => sum + file.lines, 0)
  return total <= CEILING ? [] : [`src and bin have ${total} lines, ${CEILING} allowed (CEILING in scripts/house.ts); something has to go`]
}

export function checkEffects(files: readonly SourceFile[]): string[] {
  const problems: string[] = []
  for (const file of files.filter(({ path }) => isCode(path))) {
    const declared = new Set(ruleOf(file.path)?.effects ?? [])
    const found = new Set(readEffects(file))
    for (const effect of found) {
      if (!declared.has(effect)) problems.push(`${file.path}: "${effect}" is not declared; move it to the file that has this effect, or declare it in scripts/house.ts`)
    }
    for (const effect of declared) {
      if (!found.has(effect)) problems.push(`${file.path}: declared as "${effect}" but it has no such code; take it out of scripts/house.ts`)
    }
  }
  return problems
}

function isBuiltin(from: string): boolean {
  return from.startsWith('node:') || builtinModules.includes(from)
}

function checkImport(file: SourceFile, name: string, layer: LayerRule, item: Import): string[] {
  if (isBuiltin(item.from)) {
    if (!item.from.startsWith('node:')) return [`${file.path}: write node:${item.from}, so that no package can take the name`]
    if (item.type || layer.node.includes('*') || layer.node.includes(item.from.slice(5))) return []
    return [`${file.path}: the layer "${name}" may not use ${item.from} (LAYERS in scripts/house.ts)`]
  }
  if (item.dynamic && item.from === '' && layer.dynamic === 'any') return []
  if (!item.from.startsWith('.')) return [`${file.path}: imports "${item.from}"; dario has no dependencies, and dynamic paths are for the shim only`]
  if (item.dynamic && layer.dynamic === undefined) return [`${file.path}: dynamic import of ${item.from}; only cli, proxy and shim may load late`]
  const target = posix.join(posix.dirname(file.path), item.from)
  if (layer.may.some((pattern) => matches(pattern, target))) return []
  if (layer.own === true && layer.files.some((pattern) => matches(pattern, target))) return []
  if (layer.dynamic === 'any' && item.dynamic) return []
  return [`${file.path}: the layer "${name}" may not import ${target} (LAYERS in scripts/house.ts)`]
}

export function checkLayers(files: readonly SourceFile[]): string[] {
  return files.filter(({ path }) => isCode(path)).flatMap((file) => {
    const found = layerOf(file.path)
    if (found === undefined) return []
    return file.imports.flatMap((item) => checkImport(file, ...found, item))
  })
}

const FORBIDDEN: readonly (readonly [RegExp, string, exempt?: RegExp])[] = [
  [/(?<![.\w$])eval\s*\(/, 'eval'],
  [/(?<![.\w$])(?:new\s+)?Function\s*\(/, 'Function()'],
  [/\bnode:vm\b|\bprocess\s*\.\s*binding\b/, 'code made at run time'],
  [/\bprocess\s*\.\s*getBuiltinModule\b|\bcreateRequire\b|(?<![.\w$])require\s*\(/, 'a way around the import list', /^src\/shim\//],
  [/(?<![.\w$])process\s*\.\s*exit\s*\(/, 'process.exit', /^src\/(?:cli|shim)\//],
  [/@ts-(?:ignore|expect-error|nocheck)|eslint-disable|c8 ignore/, 'a switched-off check'],
  [/:\s*any\b|\bas\s+any\b|<any>/, 'any'],
  [/\b(?:TODO|FIXME|XXX)\b/, 'unfinished work'],
  [/^export\s+default\b/m, 'a default export'],
]

/** Things that would make the rest of these checks blind, or that nobody should have to look for in a review. */
export function checkForbidden(files: readonly SourceFile[]): string[] {
  const problems: string[] = []
  for (const file of files.filter(({ path }) => isCode(path))) {
    const words = file.bare + file.comments.map((comment) => `\n${comment.text}`).join('')
    for (const [pattern, what, exempt] of FORBIDDEN) {
      const text = what === 'a switched-off check' || what === 'unfinished work' ? words : file.bare
      if (pattern.test(text) && exempt?.test(file.path) !== true) problems.push(`${file.path}: has ${what}`)
    }
  }
  return problems
}

export function checkDocstrings(files: readonly SourceFile[]): string[] {
  return files.filter(({ path }) => isCode(path) && path.startsWith('src/')).flatMap(({ path, docstring, purpose }) => {
    if (docstring === undefined) return [`${path}: must open with a docstring: one or two sentences, then @module`]
    if (!/@module\s*$/.test(docstring)) return [`${path}: its docstring must end with @module`]
    return purpose === undefined || purpose === '' ? [`${path}: its docstring says nothing`] : []
  })
}

export function checkTopLevel(root: string): string[] {
  const known = new Set<string>([...TOP_LEVEL, ...IGNORED])
  const names = readdirSync(root).filter((name) => !name.startsWith('.') && !/\.(?:tgz|log)$/.test(name))
  return [
    ...names.filter((name) => !known.has(name)).map((name) => `${name}: nothing else stands at the top of the repository`),
    ...TOP_LEVEL.filter((name) => !names.includes(name)).map((name) => `${name}: missing`),
  ]
}

/** What a test must not have: a switch that turns it off. */
export function checkTests(root: string): string[] {
  return listFiles(root, 'test').filter((path) => /\.ts$/.test(path)).flatMap((path) => {
    const { bare } = readSource(readFileSync(join(root, path), 'utf8'))
    return /\b(?:test|describe|it|suite)\s*\.\s*(?:skip|only|todo)\b/.test(bare) ? [`${path}: has a skipped, only or todo test`] : []
  })
}
