/**
 * `dario setup TOOL`: points a tool at dario for good. Shows the change, asks, keeps a copy beside the file, and `--undo`
 * brings exactly that copy back.
 * @module
 */
import { chmodSync, constants, copyFileSync, existsSync, lstatSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { refuseFile, replaceFile } from '../config/file.ts'
import { PLACEHOLDER_KEY } from '../config/discovery.ts'
import { makeFolder } from '../config/folder.ts'
import { DarioError } from '../errors.ts'
import { suggest } from '../config/nearest.ts'
import { createProxy } from '../proxy.ts'
import { answer, assemble, createUsageError, findRunning, loadConfig, text, toAccessKey, toUrl, warn, warnOfKey } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'
import { editSettings } from './settings.ts'
import { chooseModel, fill, locate } from './tool.ts'
import type { SettingsFile, Template, Tool, Values } from './tool.ts'
import { TOOLS, findTool } from './tools.ts'

/** One file before and after; undefined: not there. */
interface Change { file: string; before: string | undefined; after: string | undefined }

/** What setup wrote; of a file that differs from it, the tool or its user has changed something since. */
const WRITTEN = '.by-dario'
/** Where an undo leaves such a file. */
const UNDONE = '.undone-by-dario'

/** The copy; and what stands for it when there was no file. */
const COPY = '.before-dario'
const NONE = '.before-dario-absent'
const MAX_BYTES = 262_144

export const setup: Command = async (context) => {
  const { output, positionals: [name] } = context
  if (name === undefined) {
    const option = ['undo', 'print', 'yes', 'model'].find((option) => context.values[option] !== undefined)
    if (option !== undefined) throw createUsageError(`--${option} needs TOOL: dario setup TOOL --${option}`)
    return listTools(context)
  }
  if (context.values['json'] === true) throw createUsageError('--json is for the list of tools: dario setup --json')
  const tool = findTool(name)
  if (tool === undefined) throw createUsageError(suggest(`no tool "${name}" is known`, name, Object.keys(TOOLS), 'dario setup lists them', (near) => near))
  const [undo, print, yes] = ['undo', 'print', 'yes'].map((option) => context.values[option] === true)
  const values = undo ? undefined : await readValues(context, tool)
  const files = (tool.settings ?? []).map((settings) => ({ settings, file: find(settings, context) }))
  const changes = files.flatMap(({ settings, file }) => (values === undefined ? planUndo(file) : planChange(file, settings, values)))
  for (const { file, before, after } of changes) show(context, cleanText(file), before, after)
  if (changes.length === 0 && files.length > 0) output.line(undo ? `nothing to undo: ${name} was not set up from here` : `${name} is set up already`)
  const edited = undo ? changes.filter(isEdited) : []
  for (const { file, before } of edited) show(context, `${cleanText(file)} was changed since it was set up:`, read(file + WRITTEN), before)
  if (edited.length > 0 && !print && !yes) {
    output.note(`nothing was changed: undo would lose that; with --yes it is done, and what is there now is kept beside it as *${UNDONE}`)
    return 1
  }
  if (changes.length > 0 && !print) {
    if (!yes && !(await confirm(context))) return output.line('nothing was changed'), 1
    for (const change of changes) attempt(change.file, 'written', () => (undo ? restore : apply)(change))
    output.line(undo ? 'as it was before' : `done; dario setup ${name} --undo takes it back`)
  }
  if (values !== undefined) explain(context, tool, values)
  if (values?.model === 'echo' && text(context, 'model') === undefined) {
    warn(context, `echo only repeats what it is told, and no backend lists another model; name one: dario setup ${name} --model NAME`)
  }
  return 0
}

function show({ output, environment }: CommandContext, title: string, before = '', after = ''): void {
  output.line(output.style('bold', title))
  for (const line of diff(before, after)) {
    const colour = line.startsWith('+') ? 'green' : line.startsWith('-') ? 'red' : 'dim'
    output.line(output.style(colour, hideKeys(line, toAccessKey(environment))))
  }
}

function isEdited({ file, before }: Change): boolean {
  return before !== undefined && before !== read(file + WRITTEN)
}

function listTools(context: CommandContext): void {
  const rows = Object.entries(TOOLS).map(([name, { title, speaks, settings = [], limits, source }]) => (
    { name, title, speaks, settings: settings.flatMap((file) => locate(file, context.environment)[0] ?? []), limits, source }))
  answer(context, rows, () => context.output.table([
    ['NAME', 'TOOL', 'SPEAKS', 'SETTINGS'], ...rows.map(({ name, title, speaks, settings }) => [name, title, speaks, settings.join(', ') || 'by hand'])]))
}

async function readValues(context: CommandContext, tool: Tool): Promise<Values> {
  const parsed = loadConfig(context)
  const root = toUrl(parsed.config)
  const key = toAccessKey(context.environment)
  const running = await findRunning(parsed.config, context.environment)
  warnOfKey(context, parsed.config, running)
  const { config } = running === undefined ? await assemble(context, parsed) : parsed
  const proxy = createProxy({ config: { ...config, accessKeys: [] }, environment: context.environment })
  try {
    const model = await chooseModel(running === undefined ? proxy.fetch : fetch, root, key, text(context, 'model'), tool.models !== undefined)
    return { root, key: key ?? PLACEHOLDER_KEY, model }
  } finally {
    await proxy.close(0)
  }
}

/** The file that is there, else the first name. A link is followed, so that it stays one. */
function find(settings: SettingsFile, { environment }: CommandContext): string {
  const names = locate(settings, environment)
  const name = names.findLast((file) => lstatSync(file, { throwIfNoEntry: false }) !== undefined)
  if (name === undefined) return names[0] ?? ''
  if (!existsSync(name)) throw refuse(name, 'it is a link that leads nowhere')
  const found = statSync(name)
  if (!found.isFile()) throw refuse(name, 'it is not a file')
  if (found.size > MAX_BYTES) throw refuse(name, 'it is too large for a settings file')
  return realpathSync(name)
}

function refuse(file: string, why: string): DarioError {
  return new DarioError('config_invalid', `${file} is left as it is: ${why}`)
}

function attempt<Result>(file: string, what: string, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    return refuseFile(`${file} is left as it is: it cannot be ${what}`, error)
  }
}

function read(file: string): string | undefined {
  if (!existsSync(file)) return undefined
  const bytes = attempt(file, 'read', () => readFileSync(file))
  const text = bytes.toString('utf8')
  if (!bytes.equals(Buffer.from(text))) throw refuse(file, 'it is not UTF-8 text')
  return text
}

function planChange(file: string, { file: _, ...templates }: SettingsFile, values: Values): Change[] {
  const before = read(file)
  const after = editSettings(before ?? '', file, fill(templates as Template, values) as Omit<SettingsFile, 'file'>)
  return after === before ? [] : [{ file, before, after }]
}

function planUndo(file: string): Change[] {
  if (existsSync(file + COPY)) return [{ file, before: read(file), after: read(file + COPY) }]
  return existsSync(file + NONE) ? [{ file, before: read(file), after: undefined }] : []
}

function apply({ file, before, after = '' }: Change): void {
  makeFolder(dirname(file))
  // The oldest copy is the one before dario; a second setup must not replace it with our own work.
  if (before === undefined) writeFileSync(file + NONE, '', { mode: 0o600 })
  else if (!existsSync(file + COPY) && !existsSync(file + NONE)) {
    copyFileSync(file, file + COPY, constants.COPYFILE_EXCL)
    chmodSync(file + COPY, statSync(file).mode)
  }
  const mode = before === undefined ? 0o600 : statSync(file).mode & 0o777
  // After an edit in between the older text stays, so that an undo still sees the edit.
  if (!existsSync(file + WRITTEN) || before === read(file + WRITTEN)) replaceFile(file + WRITTEN, after, mode)
  replaceFile(file, after, mode)
}

function restore(change: Change): void {
  const { file } = change
  if (isEdited(change)) copyFileSync(file, file + UNDONE)
  rmSync(file + WRITTEN, { force: true })
  if (existsSync(file + COPY)) return renameSync(file + COPY, file)
  rmSync(file, { force: true })
  rmSync(file + NONE)
}

function explain({ output }: CommandContext, tool: Tool, values: Values): void {
  const shown = tool.speaks === 'anthropic' ? values.root : `${values.root}/v1`
  if (tool.steps !== undefined) output.line(`by hand: ${String(fill(tool.steps, values) ?? tool.steps)}`)
  if (tool.steps !== undefined && tool.settings === undefined) {
    output.line(`  address: ${shown}\n  key:     ${values.key}\n  model:   ${values.model ?? tool.models}`)
  }
  if (tool.limits !== undefined) output.line(`note: ${tool.limits}`)
  output.line(output.style('dim', `source: ${tool.source}`))
}

async function confirm({ output }: CommandContext): Promise<boolean> {
  output.note('change this? [y/N]')
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) return lines.close(), /^y(?:es)?$/i.test(line.trim())
  return false
}

/** Changed lines with two around them. */
function diff(before: string, after: string): string[] {
  const [a, b] = [before, after].map((text) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))) as [string[], string[]]
  const lines: string[] = []
  for (let [i, j] = [0, 0]; i < a.length || j < b.length;) {
    if (i < a.length && a[i] === b[j]) lines.push(`  ${a[i++]}`), j++
    else if (i < a.length && !b.includes(a[i] ?? '', j)) lines.push(`- ${a[i++]}`)
    else if (j < b.length) lines.push(`+ ${b[j++]}`)
  }
  return lines.filter((_, index) => lines.slice(Math.max(0, index - 2), index + 3).some((line) => !line.startsWith(' ')))
}

/** A key in the settings is not for the screen. */
function hideKeys(line: string, own: string | undefined): string {
  const clean = cleanText(line).replace(/\b(sk-|gsk_|xai-|AIza|ghp_|eyJ|dario-)[\w.-]{8,}/g, '$1…')
  return own === undefined ? clean : clean.replaceAll(own, '…')
}
