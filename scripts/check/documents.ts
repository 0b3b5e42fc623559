/**
 * The parts of README and SECURITY that are made from the code, between markers, so that they cannot be false:
 * the fidelity table (`lossy:` comments) and the audit map.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LAYERS } from '../house.ts'
import { layerOf, ruleOf } from './rules.ts'
import type { SourceFile } from './rules.ts'
import { readEffects } from './source.ts'

/** As a table cell, without the numbers of the list of known pitfalls, which tests carry too. */
const escapeCell = (text: string): string => text.replace(/\s+/g, ' ').replace(/ \((?:pitfalls? )?[A-Z]\d+(?:(?:,| and) [A-Z]\d+)*\)/g, '').replaceAll('|', '\\|').replaceAll('<', '&lt;').trim()

/** Every `lossy:` comment of the code, by the file that has it. */
export function makeFidelityTable(files: readonly SourceFile[]): string {
  const rows = files.flatMap((file) =>
    file.comments
      .filter((comment) => comment.text.includes('lossy:'))
      .flatMap((comment) => comment.text.split('lossy:').slice(1).map((text) => {
        const words = escapeCell(text).replace(/[.;]$/, '')
        return `| \`${file.path.replace(/^src\/(?:dialects\/)?/, '')}\` | ${words.charAt(0).toUpperCase()}${words.slice(1)} |`
      })))
  return ['| Where | What does not survive |', '| --- | --- |', ...new Set(rows)].join('\n')
}

/** One row per file, in the order of LAYERS: the order in which to read them. */
export function makeAuditMap(files: readonly SourceFile[]): string {
  const order = Object.keys(LAYERS)
  const rank = (file: SourceFile): number => {
    const name = layerOf(file.path)?.[0]
    return name === undefined ? order.length : order.indexOf(name)
  }
  const sorted = [...files].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))
  const rows = sorted.map((file, index) => {
    const purpose = file.purpose ?? (file.path === 'bin/dario.js' ? 'Starts the command line.' : 'A static page.')
    const note = ruleOf(file.path)?.note
    const effects = (readEffects(file).join(', ') || 'none') + (note === undefined ? '' : ` (${note})`)
    return `| ${index + 1} | \`${file.path}\` | ${file.lines} | ${escapeCell(purpose)} | ${effects} |`
  })
  const total = files.reduce((sum, file) => sum + file.lines, 0)
  return [
    '| | File | Lines | Purpose | Effects |', '| --- | --- | --- | --- | --- |', ...rows, `| | | ${total} | | |`,
  ].join('\n')
}

const SECTIONS: readonly { file: string; name: string; make: (files: readonly SourceFile[]) => string }[] = [
  { file: 'README.md', name: 'fidelity', make: makeFidelityTable },
  { file: 'SECURITY.md', name: 'audit map', make: makeAuditMap },
]

/** `undefined` when the text has no markers of this name. */
export function replaceSection(text: string, name: string, content: string, maker = 'check'): string | undefined {
  const open = `<!-- ${name}: made by npm run ${maker} -- --write -->`
  const close = `<!-- end of ${name} -->`
  const from = text.indexOf(open)
  const to = text.indexOf(close, from)
  if (from === -1 || to === -1) return undefined
  return `${text.slice(0, from + open.length)}\n${content}\n${text.slice(to)}`
}

export function checkDocuments(root: string, files: readonly SourceFile[], write: boolean): string[] {
  return SECTIONS.flatMap(({ file, name, make }) => {
    const path = join(root, file)
    if (!existsSync(path)) return [] // reported with the top level
    const text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n')
    const wanted = replaceSection(text, name, make(files))
    if (wanted === undefined) return [`${file}: has no markers for the ${name}`]
    if (wanted === text) return []
    if (!write) return [`${file}: the ${name} is not what the code says; run npm run check -- --write`]
    writeFileSync(path, wanted)
    return []
  })
}
