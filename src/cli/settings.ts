/**
 * Edits the settings files of other programs as text: what is not ours stays as it was written, comments included, and
 * a file that is not understood is left alone.
 * @module
 */
import { positionAt, scanJson } from '../config/json-text.ts'
import type { JsonNode } from '../config/json-text.ts'
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import type { SettingsFile, Template } from './tool.ts'

const MARKS = ['# >>> dario (dario setup --undo takes this out) >>>', '# <<< dario <<<'] as const
const MARKED = /^[ \t]*# >>> dario .*\n[^]*?# <<< dario <<<\n?/gm

/**
 * @param change with every template filled
 * @throws DarioError `config_invalid` that says what is the matter with the file
 */
export function editSettings(text: string, name: string, change: Omit<SettingsFile, 'file'>): string {
  try {
    const plain = text.replace(/\r\n/g, '\n')
    const edited = change.json === undefined ? editLines(plain, name, change) : editJson(plain, change.json)
    return text.includes('\r\n') ? edited.replace(/\n/g, '\r\n') : edited
  } catch (error) {
    const why = error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message
    throw new DarioError('config_invalid', `${name} is left as it is: ${why}`, { cause: error })
  }
}

function editJson(text: string, change: Template): string {
  const unit = /\n([ \t]+)"/.exec(text)?.[1] ?? '  '
  if (text.trim() === '') return `${JSON.stringify(change, null, unit)}\n`
  const edits: [start: number, end: number, text: string][] = []
  const render = (value: unknown, depth: number): string => JSON.stringify(value, null, unit).replaceAll('\n', `\n${unit.repeat(depth)}`)
  function merge(node: JsonNode, wanted: Readonly<Record<string, unknown>>, depth: number, mine: boolean): void {
    const fresh: string[] = []
    for (const [name, value] of Object.entries(wanted)) {
      const member = node.members?.get(name)
      if (member === undefined) fresh.push(`\n${unit.repeat(depth)}${JSON.stringify(name)}: ${render(value, depth)}`)
      else if (isObject(member.value) && isObject(value)) merge(member, value, depth + 1, mine || name === 'dario')
      else {
        // Ours first; an older one of ours goes.
        const others = Array.isArray(value) && Array.isArray(member.value) && !mine ? member.value.filter((item) => !/"dario"/i.test(JSON.stringify(item))) : []
        const next = Array.isArray(value) ? [...value, ...others] : value
        if (JSON.stringify(member.value) !== JSON.stringify(next)) edits.push([member.start, member.end, render(next, depth)])
      }
    }
    const after = node.members?.size === 0 ? `\n${unit.repeat(depth - 1)}` : ','
    // In front of the others: behind them there may be a comment, or a comma that need not be there.
    if (fresh.length > 0) edits.push([node.start + 1, node.start + 1, fresh.join(',') + after])
  }
  const root = scan(text)
  if (!isObject(root.value)) throw new SyntaxError('it holds no JSON object')
  merge(root, change as Record<string, unknown>, 1, false)
  const edited = edits.sort(([a], [b]) => b - a).reduce((whole, [start, end, part]) => whole.slice(0, start) + part + whole.slice(end), text)
  scan(edited)
  return edited
}

function scan(text: string): JsonNode {
  const { root, errorAt, cause } = scanJson(text, true)
  if (errorAt === undefined) return root
  throw cause instanceof RangeError ? cause : new SyntaxError(`line ${positionAt(text, errorAt).line} is not valid JSON`)
}

/** TOML or YAML: ours between marks; a line of the user's for the same key becomes a comment. */
function editLines(before: string, name: string, { top = '', bottom = '' }: Omit<SettingsFile, 'file'>): string {
  const toml = name.endsWith('.toml')
  let text = before.replace(MARKED, '').replace(/(?<=[^\n])$/, '\n')
  if (!(toml ? isToml : isYaml)(text)) throw new SyntaxError(`it is not valid ${toml ? 'TOML' : 'YAML'}`)
  const keysOf = (part: string): string[] => [...part.matchAll(toml ? /^([\w-]+) =/gm : /^([\w-]+):/gm)].map((match) => match[1] ?? '')
  const header = /^\[.*\]$/m.exec(bottom)?.[0]
  if (toml && header !== undefined && text.includes(header)) throw new SyntaxError(`it has a ${header} of its own; rename that first`)
  const rootEnd = toml ? hideStrings(text).search(/^[ \t]*\[/m) : -1
  let [root, rest] = rootEnd === -1 ? [text, ''] : [text.slice(0, rootEnd), text.slice(rootEnd)]
  for (const key of keysOf(toml ? top : bottom)) {
    const line = new RegExp(`^${key}[ \\t]*${toml ? '=' : ':'}[ \\t]*(.*)\\n(?=([ \\t]|-)?)`, 'm').exec(hideStrings(root))
    if (line === null) continue
    const [whole = ''] = line
    const put = (text: string): string => root.slice(0, line.index) + text + root.slice(line.index + whole.length)
    if (!toml && new RegExp(`^${key}:\\n`, 'm').test(bottom)) {
      if (line[1]?.replace(/#.*/, '').trim() !== '') throw new SyntaxError(`its "${key}" is not a list of lines; ours cannot be added`)
      const indent = /^([ \t]*)-/m.exec(root.slice(line.index + whole.length))?.[1] ?? '  '
      const items = bottom.replace(/^.*\n/, '').replace(/^ {2}/gm, indent)
      return put(whole + mark(items, indent))
    }
    if (/^(?:"""|'''|[|>[{&]|$)/.test(line[1] ?? '') || line[2] === ' ') throw new SyntaxError(`its "${key}" goes over several lines; take it out first`)
    root = put(`# ${root.slice(line.index, line.index + whole.length)}`)
  }
  // Of YAML's head, what is there already stays.
  const head = toml ? top : top.split('\n').filter((line) => !keysOf(root).includes(keysOf(line)[0] ?? '')).join('\n')
  return mark(head) + root + rest + mark(bottom)
}

/** The same length, without what is inside of strings over several lines. */
function hideStrings(text: string): string {
  return text.replace(/"""[^]*?"""|'''[^]*?'''/g, (found) => `""${found.slice(2).replace(/./g, ' ')}`)
}

function mark(text: string, indent = ''): string {
  return text.trim() === '' ? '' : `${indent}${MARKS[0]}\n${text}${text.endsWith('\n') ? '' : '\n'}${indent}${MARKS[1]}\n`
}

function isToml(text: string): boolean {
  let bare = text.replace(/"""[^]*?"""|'''[^]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#.*/g, (found) => (found.startsWith('#') ? '' : '""'))
  for (let before = ''; before !== bare;) [before, bare] = [bare, bare.replace(/\[[^[\]]*\]|\{[^{}]*\}/g, '""')]
  return bare.split('\n').every((line) => /^\s*(?:""\s*|(?:[\w-]|"")+(?:\s*\.\s*(?:[\w-]|"")+)*\s*=\s*(?:""|[\w.:+-][\w.:+ -]*)\s*)?$/.test(line))
}

/** Lines that can begin something in YAML, and no list, mapping or quote in brackets that never ends. */
function isYaml(text: string): boolean {
  const lines = /^(?:\s*#.*| .*|---.*|\.\.\.|- .*|-|[\]}].*|%.*|["']?[\w][\w ./-]*["']?:(?: .*)?|)$/
  const flows = [...text.matchAll(/(?::|^\s*-)[ \t]+([[{"'].*(?:\n[ \t\]}].*)*)/gm)].map((match) =>
    (match[1] ?? '').replace(/"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|\s#.*/g, ''))
  const count = (flow: string, characters: RegExp): number => flow.match(characters)?.length ?? 0
  return text.split('\n').every((line) => lines.test(line.trimEnd()))
    && flows.every((flow) => !/^["']/.test(flow) && count(flow, /[[{]/g) === count(flow, /[\]}]/g))
}
