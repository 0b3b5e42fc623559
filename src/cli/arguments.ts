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

type Values = Record<string, string | boolean | undefined>

export type Arguments =
  | { kind: 'command'; spec: CommandSpec; positionals: string[]; values: Values }
  | { kind: 'text'; text: string }
  | { kind: 'usage'; problem: string; hint: string }

export function parseArguments(argv: readonly string[]): Arguments {
  if (argv[0] === '--version' || argv[0] === '-v') return { kind: 'text', text: readVersion() }
  const words = argv.slice(0, 2).filter((word, index) => !word.startsWith('-') && (index === 0 || !argv[0]?.startsWith('-')))
  if (words[0] === 'help') return renderTopic(argv.slice(1).filter((word) => !word.startsWith('-')).slice(0, 2).join(' '))
  const name = [words.join(' '), words[0] ?? 'proxy'].find((candidate) => Object.hasOwn(COMMANDS, candidate))
  const ours = WRAPPERS.has(name ?? '') ? argv.slice(1, 2) : argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined)
  const asked = ours.some((word) => word === '--help' || word === '-h')
  if (name === undefined) return asked ? renderTopic(words[0] ?? '') : wrongCommand(words)
  if (asked) return { kind: 'text', text: renderHelp(words.length === 0 ? undefined : name) }
  const spec = COMMANDS[name] as CommandSpec
  return parseOptions(name, spec, words.length === 0 ? argv : argv.slice(name.split(' ').length))
}

function renderTopic(topic: string): Arguments {
  const known = topic === '' || Object.keys(COMMANDS).some((name) => name === topic || name.startsWith(`${topic} `))
  return known ? { kind: 'text', text: renderHelp(topic === '' ? undefined : topic) } : wrongCommand(topic.split(' '))
}

function parseOptions(name: string, spec: CommandSpec, args: readonly string[]): Arguments {
  const hint = `Usage: ${renderUsage(name)} [options]; more: dario ${name} --help`
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
    if (option.type === 'string' && !token.value) return usage(`${token.rawName} needs a value: ${option.value}`)
  }
  const [least, most] = spec.takes ?? [0, 0]
  if (positionals.length < least) return usage(`dario ${name} needs ${spec.usage}`)
  if (positionals.length > most) return usage(`one word too many: ${positionals[most]}`)
  return { kind: 'command', spec, positionals, values: values as Values }
}

function wrongCommand([group = '', word]: readonly string[]): Arguments {
  const names = Object.keys(COMMANDS)
  const inGroup = names.filter((name) => name.startsWith(`${group} `)).map((name) => name.slice(group.length + 1))
  if (inGroup.length === 0) {
    const first = new Set(names.map((name) => name.split(' ', 1)[0] ?? ''))
    const problem = suggest(`no command "dario ${group}"`, group, [...first], undefined, (near) => `"dario ${near}"`)
    return { kind: 'usage', problem, hint: 'All commands: dario --help' }
  }
  const problem = word === undefined ? `dario ${group} needs one more word`
    : suggest(`no command "dario ${group} ${word}"`, word, inGroup, undefined, (near) => `"dario ${group} ${near}"`)
  return { kind: 'usage', problem, hint: renderHelp(group) }
}
