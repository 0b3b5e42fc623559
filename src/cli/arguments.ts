/**
 * Arguments to a command, by the table in `help.ts`.
 * @module
 */
import { parseArgs } from 'node:util'
import { suggest } from '../config/nearest.ts'
import { readVersion } from '../version.ts'
import { COMMANDS, renderHelp, renderUsage } from './help.ts'
import type { CommandSpec } from './help.ts'

/** They start a command. */
const WRAPPERS = new Set(['run', 'shim'])
const FIRST_WORDS = new Set(Object.keys(COMMANDS).map((name) => name.split(' ', 1)[0] ?? ''))
const ALL = 'All commands: dario --help'

type Values = Record<string, string | boolean | undefined>

export type Arguments =
  | { kind: 'command'; spec: CommandSpec; positionals: string[]; values: Values }
  | { kind: 'text'; text: string }
  | { kind: 'usage'; problem: string; hint: string }

export function parseArguments(argv: readonly string[]): Arguments {
  if (/^(?:--version|-v|version)$/i.test(argv[0] ?? '')) return { kind: 'text', text: readVersion() }
  const words = argv.slice(0, 2).filter((word, index) => !word.startsWith('-') && (index === 0 || !argv[0]?.startsWith('-')))
  if (words[0] === 'help') return renderTopic(argv.slice(1).filter((word) => !word.startsWith('-')).slice(0, 2))
  const name = findCommand(words)
  const ours = WRAPPERS.has(name ?? '') ? argv.slice(1, 2) : argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined)
  const asked = ours.some((word) => word === '--help' || word === '-h')
  if (name === undefined) return asked ? renderTopic(words.slice(0, 1)) : wrongCommand(words)
  if (asked) return { kind: 'text', text: renderHelp(words.length === 0 ? undefined : name) }
  const spec = COMMANDS[name] as CommandSpec
  const parsed = parseOptions(name, spec, words.length === 0 ? argv : argv.slice(name.split(' ').length))
  const late = words.length === 0 && parsed.kind === 'usage' ? argv.find((word) => FIRST_WORDS.has(word)) : undefined
  return late === undefined ? parsed : { kind: 'usage', problem: `the command comes first, then its options: dario ${late} ...`, hint: ALL }
}

/** `backend list`, or `run` of `run claude`. */
function findCommand(words: readonly string[]): string | undefined {
  return [words.join(' '), words[0] ?? 'proxy'].find((candidate) => Object.hasOwn(COMMANDS, candidate))
}

function renderTopic(words: readonly string[]): Arguments {
  if (words.length === 0) return { kind: 'text', text: renderHelp(undefined) }
  const isGroup = words.length === 1 && Object.keys(COMMANDS).some((name) => name.startsWith(`${words[0]} `))
  const topic = findCommand(words) ?? (isGroup ? words[0] : undefined)
  return topic === undefined ? wrongCommand(words) : { kind: 'text', text: renderHelp(topic) }
}

function parseOptions(name: string, spec: CommandSpec, args: readonly string[]): Arguments {
  const hint = `Usage: ${renderUsage(name, '[options]')}; more: dario ${name} --help`
  const usage = (problem: string): Arguments => ({ kind: 'usage', problem, hint })
  const parse = (list: readonly string[]) => parseArgs({ args: [...list], options: spec.options, strict: false, allowPositionals: true, tokens: true })
  // What follows the command is the command's own: `dario run claude -p hello`.
  const command = WRAPPERS.has(name) ? parse(args).tokens.find(({ kind }) => kind === 'positional')?.index : undefined
  const { tokens, values, positionals } = parse(args.slice(0, command))
  if (command !== undefined) positionals.push(...args.slice(command))
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(spec.options, token.name) ? spec.options[token.name] : undefined
    if (option === undefined) {
      return usage(suggest(`no option ${token.rawName}`, token.name, Object.keys(spec.options), undefined, (near) => `--${near}`))
    }
    if (option.type === 'boolean' && token.value !== undefined) return usage(`${token.rawName} takes no value`)
    // `--config --json` must not read, nor write, a file called --json.
    const how = token.inlineValue === false && /^-./.test(token.value) ? `; one that begins with - is given as --${token.name}=-...` : ''
    if (option.type === 'string' && (!token.value || how !== '')) return usage(`${token.rawName} needs a value: ${option.value}${how}`)
  }
  const wanted = spec.usage?.split(' ') ?? []
  const least = wanted.filter((word) => !word.startsWith('[')).length
  const most = wanted.some((word) => word.includes('...')) ? Infinity : wanted.length
  if (positionals.length > most) return usage(`one word too many: ${positionals[most]}`)
  if (positionals.length < least || positionals[0] === '') return usage(`dario ${name} needs ${spec.usage}`)
  return { kind: 'command', spec, positionals, values: values as Values }
}

function wrongCommand([group = '', word]: readonly string[]): Arguments {
  const names = Object.keys(COMMANDS)
  const inGroup = names.filter((name) => name.startsWith(`${group} `)).map((name) => name.slice(group.length + 1))
  if (inGroup.length === 0) {
    const problem = suggest(`no command "dario ${group}"`, group, [...FIRST_WORDS], undefined, (near) => `"dario ${near}"`)
    return { kind: 'usage', problem, hint: ALL }
  }
  const problem = word === undefined ? `dario ${group} needs one more word`
    : suggest(`no command "dario ${group} ${word}"`, word, inGroup, undefined, (near) => `"dario ${group} ${near}"`)
  return { kind: 'usage', problem, hint: renderHelp(group) }
}
