/**
 * Every command in one table: what it takes, what it is for, examples. Parsing, `--help` and suggestions all read it.
 * @module
 */
import { KNOWN_BACKENDS } from '../config/known.ts'
import type { Command } from './command.ts'

export interface OptionSpec {
  type: 'string' | 'boolean'
  short?: string
  /** Shown for the value of a string option. */
  value?: string
  help: string
}

export interface CommandSpec {
  /** Loaded when it is called: an old Node must get as far as a sentence, and `--help` should not wait for a proxy to load. */
  load: () => Promise<Command>
  /** What follows the name: `[WORD]` need not be there, `WORD...` may be several; undefined for nothing. */
  usage?: string
  help: string
  options: Readonly<Record<string, OptionSpec>>
  examples: readonly string[]
}

const CONFIG: OptionSpec = { type: 'string', value: 'FILE', help: 'another configuration file (or DARIO_CONFIG)' }
const JSON_OUTPUT: OptionSpec = { type: 'boolean', help: 'print JSON, for scripts' }
const PORT: OptionSpec = { type: 'string', short: 'p', value: 'N', help: 'port to listen on (or DARIO_PORT; default 3456)' }
const HOST: OptionSpec = { type: 'string', value: 'HOST', help: 'address to listen on (or DARIO_HOST; default: loopback only)' }
const MODEL: OptionSpec = { type: 'string', value: 'NAME', help: 'model for the tool, its small helper model included' }
const FILE_OPTIONS = { config: CONFIG, json: JSON_OUTPUT }

export const COMMANDS: Readonly<Record<string, CommandSpec>> = {
  proxy: {
    load: async () => (await import('./serve.ts')).serve,
    help: 'Start the endpoint. This is also what dario does without a command.',
    options: {
      port: PORT, host: HOST, config: CONFIG,
      'log-level': { type: 'string', value: 'LEVEL', help: 'debug, info, warn or error (default info)' },
      'log-file': { type: 'string', value: 'FILE', help: 'write the log there as JSON too; rotated at 10 MB' },
      capture: { type: 'string', value: 'DIR', help: 'write requests and answers there, for a bug report' },
    },
    examples: ['dario', 'dario proxy --port 8080', 'dario proxy --log-file dario.log'],
  },
  'backend list': {
    load: async () => (await import('./backends.ts')).listBackends,
    help: 'List the configured backends, or those found on this machine.',
    options: FILE_OPTIONS, examples: ['dario backend list', 'dario backend list --json'],
  },
  'backend add': {
    load: async () => (await import('./backends.ts')).addBackend, usage: 'NAME',
    help: `Add or change a backend. Known names need no URL: ${Object.keys(KNOWN_BACKENDS).join(', ')}; plan is the claude program. `
      + 'Without --key or --key-env the key is read from stdin.',
    options: {
      ...FILE_OPTIONS,
      'base-url': { type: 'string', value: 'URL', help: 'root of the API, with or without /v1' },
      key: { type: 'string', value: 'KEY', help: 'the key itself, env:NAME or file:PATH (stdin is safer: others see arguments)' },
      'key-env': { type: 'string', value: 'NAME', help: 'variable that holds the key when dario starts' },
      'no-key': { type: 'boolean', help: 'the server needs none' },
      type: { type: 'string', value: 'TYPE', help: 'anthropic, openai, claude-code or echo (default openai)' },
      speaks: { type: 'string', value: 'LIST', help: 'anthropic, chat, responses: comma-separated, best first (default: ask it)' },
    },
    examples: [
      'dario backend add groq --key-env GROQ_API_KEY',
      'dario backend add litellm --base-url=http://localhost:4000/v1 --key sk-...',
      'pass show openai | dario backend add openai',
    ],
  },
  'backend remove': {
    load: async () => (await import('./backends.ts')).removeBackend, usage: 'NAME',
    help: 'Remove a backend from the configuration.',
    options: FILE_OPTIONS, examples: ['dario backend remove groq'],
  },
  'backend test': {
    load: async () => (await import('./backends.ts')).testBackends, usage: '[NAME]',
    help: 'Ask one backend, or all, whether they answer and accept the key.',
    options: FILE_OPTIONS, examples: ['dario backend test', 'dario backend test openai --json'],
  },
  'route list': {
    load: async () => (await import('./routes.ts')).listRoutes,
    help: 'List the routes in the order in which they are tried.',
    options: FILE_OPTIONS, examples: ['dario route list'],
  },
  'route add': {
    load: async () => (await import('./routes.ts')).addRoute, usage: 'MODEL TO...',
    help: 'Send models that match a pattern to a chain of backends; backend:model also renames. Replaces a route of the same pattern.',
    options: { ...FILE_OPTIONS, first: { type: 'boolean', help: 'put it in front of the others' } },
    examples: ["dario route add 'claude-*' plan anthropic", 'dario route add fast groq:llama-3.3-70b-versatile'],
  },
  'route remove': {
    load: async () => (await import('./routes.ts')).removeRoute, usage: 'MODEL',
    help: 'Remove the route of this pattern.',
    options: FILE_OPTIONS, examples: ["dario route remove 'claude-*'"],
  },
  'route explain': {
    load: async () => (await import('./routes.ts')).explainRoute, usage: 'MODEL',
    help: 'Say where a model goes, and why.', options: FILE_OPTIONS,
    examples: ['dario route explain claude-sonnet-4-5', 'dario route explain groq:llama-3.3-70b-versatile'],
  },
  usage: {
    load: async () => (await import('./usage.ts')).usage,
    help: 'Show requests, tokens and estimated cost: today, 7 days, 30 days, and by name.',
    options: {
      since: { type: 'string', value: 'WHEN', help: 'a date (2026-11-01) or days (7d); default 30d' },
      by: { type: 'string', value: 'NAME', help: 'model, backend, tool, key, route or day' },
      csv: { type: 'boolean', help: 'print CSV, for a spreadsheet' },
      json: JSON_OUTPUT,
    },
    examples: ['dario usage', 'dario usage --by tool --since 7d', 'dario usage --by day --csv'],
  },
  'key list': {
    load: async () => (await import('./keys.ts')).listKeys,
    help: 'List the access keys that clients of this dario may use.',
    options: FILE_OPTIONS, examples: ['dario key list'],
  },
  'key add': {
    load: async () => (await import('./keys.ts')).addKey, usage: 'NAME',
    help: 'Make an access key for a tool or a colleague. It is shown once and kept as a hash; usage and budgets go by its name.',
    options: { ...FILE_OPTIONS, route: { type: 'string', value: 'LIST', help: 'routes that it may use, comma-separated (default: all)' } },
    examples: ['dario key add laptop', "dario key add ci --route 'fast,gpt-*'"],
  },
  'key remove': {
    load: async () => (await import('./keys.ts')).removeKey, usage: 'NAME',
    help: 'Remove an access key; who has it is refused from then on.',
    options: FILE_OPTIONS, examples: ['dario key remove ci'],
  },
  doctor: {
    load: async () => (await import('./doctor.ts')).doctor,
    help: 'Check this machine and the configuration; every problem comes with a remedy.',
    options: { ...FILE_OPTIONS, port: PORT }, examples: ['dario doctor', 'dario doctor --json'],
  },
  env: {
    load: async () => (await import('./environment.ts')).environment,
    help: 'Print the variables that point tools at dario.',
    options: { ...FILE_OPTIONS, port: PORT, shell: { type: 'string', value: 'NAME', help: 'bash, fish, powershell or cmd (default: yours)' } },
    examples: ['eval "$(dario env)"', 'dario env --shell fish | source', 'dario env --shell powershell | Invoke-Expression'],
  },
  run: {
    load: async () => (await import('./run.ts')).run, usage: 'TOOL|COMMAND [ARGUMENT...]',
    help: 'Run a tool, or any command, pointed at dario; starts dario for as long as it runs if none does. No file of yours is changed.',
    options: { config: CONFIG, port: PORT, model: MODEL },
    examples: ['dario run claude', 'dario run --model gpt-5 claude', 'dario run -- python agent.py'],
  },
  setup: {
    load: async () => (await import('./setup.ts')).setup, usage: '[TOOL]',
    help: 'Point a tool at dario for good: shows the change to its settings, asks, keeps a copy. Without TOOL: what is known.',
    options: {
      ...FILE_OPTIONS, port: PORT, model: MODEL,
      yes: { type: 'boolean', short: 'y', help: 'do not ask' },
      print: { type: 'boolean', help: 'only show the change' },
      undo: { type: 'boolean', help: 'bring the settings back as they were before' },
    },
    examples: ['dario setup', 'dario setup codex', 'dario setup codex --undo'],
  },
  shim: {
    load: async () => (await import('./shim.ts')).shim, usage: 'COMMAND [ARGUMENT...]',
    help: 'Run a Node program that asks dario inside its own process: no port, nothing listens.',
    options: { config: CONFIG, hosts: { type: 'string', value: 'LIST', help: 'hosts to answer for (default api.anthropic.com,api.openai.com)' } },
    examples: ['dario shim -- node agent.js', 'dario shim -- qwen'],
  },
  watch: {
    load: async () => (await import('./watch.ts')).watch,
    help: 'Show what the running dario does, live. In a pipe: one line per request. DARIO_ACCESS_KEY is sent where it is set.',
    options: { config: CONFIG, port: { ...PORT, help: 'port of the running dario (or DARIO_PORT; default 3456)' }, url: { type: 'string', value: 'URL', help: 'another machine: http://host:3456' } },
    examples: ['dario watch', 'dario watch --url http://build-box:3456', 'dario watch | grep claude'],
  },
  'config path': {
    load: async () => (await import('./config.ts')).printPath,
    help: 'Print where the configuration file is.',
    options: FILE_OPTIONS, examples: ['dario config path'],
  },
  'config check': {
    load: async () => (await import('./config.ts')).checkConfig,
    help: 'Check the configuration; names file, line and column of a mistake.',
    options: FILE_OPTIONS, examples: ['dario config check', 'dario config check --config ./dario.json'],
  },
}

/** `dario backend add NAME`; options stand in front, since `run` and `shim` leave what follows to the command. */
export function renderUsage(name: string, options?: string): string {
  return ['dario', name, options, COMMANDS[name]?.usage].filter((part) => part !== undefined).join(' ')
}

/** `name` may be a group (`backend`): its commands are listed. */
export function renderHelp(name: string | undefined): string {
  const spec = name === undefined ? undefined : COMMANDS[name]
  if (name === undefined || spec === undefined) return renderList(name)
  const options = Object.entries({ ...spec.options, help: { type: 'boolean', short: 'h', help: 'this text' } as OptionSpec })
  const rows = options.map(([option, { short, value, help }]) =>
    [`  ${short === undefined ? '    ' : `-${short}, `}--${option}${value === undefined ? '' : ` ${value}`}`, help] as const)
  return [
    `Usage: ${renderUsage(name, '[options]')}`, '', ...spec.help.match(/\S.{0,77}(?= |$)/g) ?? [], '',
    'Options:', ...align(rows), '', 'Examples:', ...spec.examples.map((example) => `  ${example}`),
  ].join('\n')
}

function renderList(group: string | undefined): string {
  const rows = Object.entries(COMMANDS).filter(([name]) => group === undefined || name.startsWith(`${group} `))
    .map(([name, { help }]) => [`  ${renderUsage(name)}`, `${help.split(/[.:;] |\.$/, 1)[0]}.`] as const)
  const list = ['Usage:', ...align(rows)]
  if (group !== undefined) return list.join('\n')
  return [
    'dario: one local endpoint for every LLM tool on this machine.', '', ...list, '',
    'Examples:', '  dario', '  dario backend add groq --key-env GROQ_API_KEY', '  dario run -- claude', '',
    'Every command has --help; dario --version says which this is. Exit codes: 0 done, 1 failed, 2 wrong usage.',
  ].join('\n')
}

function align(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`)
}
