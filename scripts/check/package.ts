/**
 * The supply chain: what package.json may say, and what the workflows of the public repository may do.
 * @module
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEV_DEPENDENCIES } from '../house.ts'
import { listFiles } from './rules.ts'

const LIFECYCLE = /^(?:pre|post)?(?:install|prepare|publish|publishOnly|pack|prepublish|prepublishOnly|dependencies|uninstall|shrinkwrap)$|^(?:pre|post)/
const KEPT_EMPTY = ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies', 'bundledDependencies', 'overrides', 'workspaces']

function toRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

export function checkPackage(root: string): string[] {
  const manifest = toRecord(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  const lock = toRecord(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')))
  const problems: string[] = []
  for (const field of KEPT_EMPTY) {
    if (field in manifest) problems.push(`package.json: "${field}" must not exist; dario needs nothing but Node`)
  }
  for (const name of Object.keys(toRecord(manifest['scripts']))) {
    if (LIFECYCLE.test(name)) problems.push(`package.json: the script "${name}" would run by itself; give it another name`)
  }
  const dev = toRecord(manifest['devDependencies'])
  for (const [name, version] of Object.entries(dev)) {
    if (!(DEV_DEPENDENCIES as readonly string[]).includes(name)) problems.push(`package.json: ${name} is not one of the four tools of this repository`)
    if (!/^\d+\.\d+\.\d+$/.test(String(version))) problems.push(`package.json: ${name} needs an exact version, not "${String(version)}"`)
  }
  for (const name of DEV_DEPENDENCIES) if (!(name in dev)) problems.push(`package.json: ${name} is missing`)
  if (toRecord(manifest['publishConfig'])['provenance'] !== true) problems.push('package.json: publishConfig.provenance must be true')
  for (const [name, entry] of Object.entries(toRecord(lock['packages']))) {
    const { resolved, integrity, link } = toRecord(entry)
    if (name === '' || link === true) continue
    if (typeof integrity !== 'string' || !integrity.startsWith('sha512-')) problems.push(`package-lock.json: ${name} has no sha512`)
    if (resolved !== undefined) problems.push(`package-lock.json: ${name} names a place to load from; the checksum is enough (omit-lockfile-registry-resolved)`)
  }
  return problems
}

const RIGHTS = new Map([
  ['contents', ['read', 'write']],
  ['id-token', ['write']],
  ['attestations', ['write']],
  ['security-events', ['write']],
])

/** One workflow file, read line by line: the form is ours, so a parser of all YAML is not needed. */
export function checkWorkflow(path: string, text: string): string[] {
  const problems: string[] = []
  const lines = text.split('\n').map((line) => line.trimEnd())
  if (!lines.includes('permissions: {}')) problems.push(`${path}: must begin with "permissions: {}" and grant rights per job`)
  if (/^on:.*pull_request_target|^\s+pull_request_target:/m.test(text)) problems.push(`${path}: pull_request_target runs foreign code with our rights`)
  let inPermissions: number | undefined
  for (const [index, line] of lines.entries()) {
    const at = `${path}:${index + 1}`
    const indent = line.length - line.trimStart().length
    const uses = /^\s*(?:- )?uses:\s*(\S+)(.*)$/.exec(line)
    if (uses !== null && !/^\.\//.test(uses[1] ?? '')) {
      if (!/@[0-9a-f]{40}$/.test(uses[1] ?? '')) problems.push(`${at}: ${uses[1]} is not pinned to a commit`)
      else if (!/^\s+# v\d+\.\d+\.\d+$/.test(uses[2] ?? '')) problems.push(`${at}: say the version in a comment: # v1.2.3`)
    }
    if (/actions\/checkout@/.test(line) && !/persist-credentials: false/.test(lines.slice(index, index + 6).join('\n'))) {
      problems.push(`${at}: checkout must have "persist-credentials: false"`)
    }
    if (/permissions:\s*(?:write-all|read-all)/.test(line)) problems.push(`${at}: rights are granted one by one`)
    if (inPermissions !== undefined && line.trim() !== '' && indent <= inPermissions) inPermissions = undefined
    if (inPermissions !== undefined) {
      const right = /^\s*([\w-]+):\s*(\w+)\s*(#.*)?$/.exec(line)
      if (right !== null && RIGHTS.get(right[1] ?? '')?.includes(right[2] ?? '') !== true) problems.push(`${at}: the right ${right[1]}: ${right[2]} is too broad`)
      if (right !== null && right[3] === undefined) problems.push(`${at}: say in a comment why this right is needed`)
    }
    if (/^\s+permissions:\s*$/.test(line)) inPermissions = indent
    if (/\brun:/.test(line) && /\$\{\{/.test(line)) problems.push(`${at}: pass expressions to a script by env, never inside it`)
    if (/\bnpm (?:ci|install)\b/.test(line) && !line.includes('--ignore-scripts')) problems.push(`${at}: npm needs --ignore-scripts`)
    if (/^\s*node-version:\s*\d+\s*$/.test(line) || /lts|latest/.test(/node-version:.*/.exec(line)?.[0] ?? '')) problems.push(`${at}: name an exact Node version`)
  }
  if (/npm (?:stage )?publish/.test(text)) {
    if (/^\s*cache:\s*(?!''|false)|actions\/cache@/m.test(text)) problems.push(`${path}: no cache in a release: it could carry what nobody reviewed`)
    if (!/^\s+environment:/m.test(text)) problems.push(`${path}: publishing needs a protected environment with a reviewer`)
    if (/NPM_TOKEN|NODE_AUTH_TOKEN|_authToken/.test(text)) problems.push(`${path}: publish by OIDC; no token is stored anywhere`)
  }
  return problems
}

export function checkWorkflows(root: string): string[] {
  return listFiles(root, '.github/workflows')
    .flatMap((path) => checkWorkflow(path, readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n')))
}
