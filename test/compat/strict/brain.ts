/**
 * What the stand-in answers, whichever API it is asked by: it thinks where it may, calls the client's own tools,
 * and at the end quotes what they gave.
 * @module
 */
import { isFields } from './shape.ts'
import type { Fields } from './shape.ts'

export interface OfferedTool {
  name: string
  schema: Fields
  /** Takes raw text. */
  custom?: boolean
}

/** A request, as far as the answer depends on it. */
export interface Asked {
  tools: OfferedTool[]
  /** A tool that must be called; `*` for any. */
  forced?: string | undefined
  mayCall: boolean
  thinks: boolean
  /** The schema that the answer must fit. */
  format?: Fields | undefined
  userText: string
  images: number
  /** The results since the last user text, in order, as text. */
  results: string[]
}

export type Said =
  | { type: 'thinking'; text: string }
  | { type: 'text'; text: string }
  | { type: 'call'; name: string; input: string; custom: boolean }

/** The number of tokens of every answer; the same in all dialects, so a test can compare. */
export const TOKENS = { input: 100, cached: 40, output: 30, reasoning: 10 }

/**
 * The user's words steer it: `run COMMAND;` and `read PATH;` in backticks each become a call of the client's tool
 * for that, one turn after another; `call NAME {json}` a call of exactly that tool; `both` calls at once.
 */
export function think(asked: Asked): Said[] {
  const thoughts: Said[] = asked.thinks ? [{ type: 'thinking', text: 'The user wants something; I shall see what I have.' }] : []
  if (asked.format !== undefined) return [...thoughts, { type: 'text', text: JSON.stringify(fill(asked.format, asked.format)) }]
  const wishes = readWishes(asked)
  const left = /\ball at once\b/.test(asked.userText) ? (asked.results.length === 0 ? wishes : []) : wishes.slice(asked.results.length, asked.results.length + 1)
  const calls = asked.mayCall ? left : []
  if (calls.length > 0) return [...thoughts, { type: 'text', text: 'I will look.' }, ...calls]
  if (asked.forced !== undefined && asked.results.length === 0) {
    const tool = asked.tools.find(({ name }) => asked.forced === '*' || name === asked.forced)
    if (tool !== undefined) return [...thoughts, { type: 'call', name: tool.name, input: JSON.stringify(fill(tool.schema, tool.schema)), custom: false }]
  }
  if (asked.results.length > 0) return [...thoughts, { type: 'text', text: `The tools said: ${asked.results.join(' | ').slice(0, 2000)}` }]
  const seen = asked.images > 0 ? ` I see ${asked.images} image(s).` : ''
  return [...thoughts, { type: 'text', text: `You said: ${asked.userText.slice(0, 200)}.${seen} ¡Olé! 🎉` }]
}

function readWishes({ userText, tools }: Asked): Said[] {
  const found: Said[] = []
  if (tools.length === 0) return found
  for (const match of userText.matchAll(/`(?:run ([^;`]+);|read ([^;`]+);|call ([\w.-]+) ([^]+?);)`/g)) {
    const [, command, path, named, input] = match
    if (command !== undefined) found.push(toRun(tools, command))
    else if (path !== undefined) found.push(toRead(tools, path))
    else found.push(toCall(tools, named!, input!))
  }
  return found
}

/** Raw text for a custom tool; where that was made a function, in its one member. */
function toCall(tools: OfferedTool[], named: string, input: string): Said {
  const tool = tools.find(({ name }) => name === named) ?? tools.find(({ name }) => name.endsWith(named))
  if (tool === undefined) return { type: 'text', text: `NO TOOL ${named} among ${tools.map(({ name }) => name).join(', ')}` }
  const [member = 'input'] = Object.keys(isFields(tool.schema['properties']) ? tool.schema['properties'] : {})
  const wrap = tool.custom !== true && !input.startsWith('{')
  return { type: 'call', name: tool.name, input: wrap ? JSON.stringify({ [member]: input }) : input, custom: tool.custom === true }
}

function toRun(tools: OfferedTool[], command: string): Said {
  return call(tools, /^(?:bash|shell|shell_command|exec_command|run_shell_command|run_command|local_shell|execute_command|.*__exec_command)$/i, (properties) => {
    const key = ['command', 'cmd', 'commands', 'script'].find((name) => name in properties) ?? 'command'
    const wants = properties[key]
    const array = isFields(wants) && wants['type'] === 'array'
    return { [key]: array ? key === 'commands' ? [command] : ['bash', '-c', command] : command }
  })
}

function toRead(tools: OfferedTool[], path: string): Said {
  return call(tools, /^(?:read|read_file|readfile|view|.*__read_file)$/i, (properties) => {
    const key = ['file_path', 'filePath', 'path', 'absolute_path', 'filename'].find((name) => name in properties) ?? 'path'
    return { [key]: path }
  })
}

function call(tools: OfferedTool[], pattern: RegExp, write: (properties: Fields) => Fields): Said {
  const tool = tools.find(({ name }) => pattern.test(name.replace('mcp__dario__', '')))
  if (tool === undefined) return { type: 'text', text: `NO TOOL ${pattern.source} among ${tools.map(({ name }) => name).join(', ')}` }
  const properties = isFields(tool.schema['properties']) ? tool.schema['properties'] : {}
  // What the client requires beside it, so that its own validation passes.
  const required = (Array.isArray(tool.schema['required']) ? tool.schema['required'] : []) as string[]
  const rest = Object.fromEntries(required.map((name) => [name, fill(properties[name], tool.schema)]))
  return { type: 'call', name: tool.name, input: JSON.stringify({ ...rest, ...write(properties) }), custom: false }
}

/** The smallest value that fits a schema. */
export function fill(schema: unknown, root: Fields): unknown {
  if (!isFields(schema)) return 'x'
  if (typeof schema['$ref'] === 'string') {
    const target = schema['$ref'].slice(2).split('/').reduce<unknown>((at, key) => isFields(at) ? at[key] : undefined, root)
    return fill(target, root)
  }
  if (schema['const'] !== undefined) return schema['const']
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  for (const word of ['anyOf', 'oneOf', 'allOf']) if (Array.isArray(schema[word]) && schema['type'] === undefined) return fill(schema[word][0], root)
  switch ([schema['type']].flat()[0]) {
    case 'object': {
      const properties = isFields(schema['properties']) ? schema['properties'] : {}
      return Object.fromEntries(((schema['required'] ?? []) as string[]).map((name) => [name, fill(properties[name], root)]))
    }
    case 'array': return []
    case 'number':
    case 'integer': return typeof schema['minimum'] === 'number' ? schema['minimum'] : 1
    case 'boolean': return true
    case 'null': return null
    default: return 'x'
  }
}

/** Cuts text into pieces as a model would stream it, never through a character. */
export function cut(text: string, size = 7): string[] {
  const characters = Array.from(text)
  const pieces: string[] = []
  for (let at = 0; at < characters.length; at += size) pieces.push(characters.slice(at, at + size).join(''))
  return pieces
}
