/**
 * Reads an Anthropic Messages request into what one run of the program can express: settings fixed for its life,
 * the turns, and what dario applies itself. Everything else is listed by JSON path.
 * https://docs.anthropic.com/en/api/messages
 * @module
 */
import { createHash } from 'node:crypto'
import { DarioError } from '../errors.ts'
import { isObject } from '../hub/json.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import { readBlocks, readTurns, refuse, textOf } from './history.ts'
import type { Turn } from './history.ts'

export const TOOL_PREFIX = 'mcp__dario__'
/** The program silently leaves out tools whose full name is over 128 characters. */
const MAX_NAME = 128 - TOOL_PREFIX.length

export interface PlanTool {
  /** As the client knows it. */
  name: string
  /** As the bridge offers it: legal characters, at most 116. */
  sent: string
  description: string | undefined
  schema: JsonObject
}

/** Fixed when the program starts; a request with other settings needs another run. */
export interface Settings {
  model: string
  system: string
  tools: PlanTool[]
  maxTokens: number | undefined
  /** Value of MAX_THINKING_TOKENS; undefined lets the model decide (adaptive). */
  thinking: string | undefined
  effort: string | undefined
}

export interface PlanRequest {
  settings: Settings
  /** Hash of the settings: runs with another key cannot serve this request. */
  key: string
  turns: Turn[]
  stop: string[]
  stream: boolean
  /** JSON paths that the program cannot be told. */
  dropped: string[]
}

const UNDERSTOOD = new Set([
  'model', 'messages', 'system', 'tools', 'stream', 'max_tokens', 'stop_sequences', 'thinking', 'output_config',
  'tool_choice',
])
const UNDERSTOOD_OF_TOOL = new Set(['name', 'description', 'input_schema', 'type'])

/** @throws DarioError `invalid_json`, `invalid_request` */
export function readRequest(bytes: Buffer | string, model: string): PlanRequest {
  const body = readJson(bytes)
  const dropped = Object.keys(body).filter((name) => !UNDERSTOOD.has(name) && body[name] != null)
  if (body['thread'] != null) {
    // pitfall Q1: ignoring it would lose the history; with these words the vendor's SDK goes on without threads
    throw new DarioError('invalid_request', 'thread: the plan holds no threads; send the whole conversation', {
      path: 'thread',
      details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] },
    })
  }
  const turns = readTurns(body['messages'], dropped)
  if (turns.at(-1)?.role === 'assistant') {
    turns.pop() // lossy: no prefill, the answer begins afresh
    dropped.push(`messages[${(body['messages'] as Json[]).length - 1}]`)
  }
  if ((turns.at(-1)?.blocks ?? []).every(isBlank)) {
    throw refuse('messages', 'the last user message is empty; give it some text')
  }
  const limit = body['max_tokens']
  const isLimit = typeof limit === 'number' && Number.isInteger(limit) && limit > 0
  if (limit != null && !isLimit) dropped.push('max_tokens') // lossy: the program takes one of its own instead
  const settings: Settings = {
    model: readModel(model),
    system: readSystem(body['system'], dropped),
    tools: readTools(body['tools'], dropped),
    maxTokens: isLimit ? limit : undefined,
    thinking: readThinking(body['thinking'], dropped),
    effort: readEffort(body['output_config'], dropped),
  }
  readToolChoice(body['tool_choice'], dropped)
  const key = createHash('sha256').update(JSON.stringify(settings)).digest('base64url')
  const stop = Array.isArray(body['stop_sequences']) ? body['stop_sequences'] : []
  return {
    settings, key, turns, dropped,
    stop: stop.filter((word): word is string => typeof word === 'string' && word !== ''),
    stream: body['stream'] === true,
  }
}

function readJson(bytes: Buffer | string): JsonObject {
  let body: unknown
  try {
    body = JSON.parse(bytes.toString())
  } catch (cause) {
    throw new DarioError('invalid_json', `the body is not JSON: ${(cause as Error).message}`)
  }
  if (!isObject(body)) throw new DarioError('invalid_request', 'the body must be a JSON object')
  return body
}

/** The one value of a request that reaches argv: plain characters only, and never an option. */
function readModel(model: string): string {
  if (/^[A-Za-z0-9][\w.:@/[\]-]{0,199}$/.test(model)) return model
  throw refuse('model', 'use a name such as claude-sonnet-4-5, opus, sonnet or haiku')
}

function readSystem(system: Json | undefined, dropped: string[]): string {
  if (system == null) return ''
  const blocks = readBlocks(system, 'system', dropped)
  const texts = blocks.map((block) => textOf([block])).filter((text, index) => {
    // pitfall C5: a line of the vendor's own client that changes per request; its program writes its own
    const volatile = text.startsWith('x-anthropic-billing-header:')
    if (volatile) dropped.push(`system[${index}]`)
    return !volatile && text !== ''
  })
  return texts.join('\n\n') // lossy: one block on the way out
}

function readTools(tools: Json | undefined, dropped: string[]): PlanTool[] {
  if (!Array.isArray(tools)) return []
  const read: PlanTool[] = []
  for (const [index, tool] of tools.entries()) {
    const path = `tools[${index}]`
    if (!isObject(tool) || typeof tool['name'] !== 'string') throw refuse(`${path}.name`, 'give the tool a name')
    const name = tool['name']
    if (read.some((other) => other.name === name)) throw refuse(`${path}.name`, `"${name}" is there twice`)
    if (!isObject(tool['input_schema'])) {
      dropped.push(path) // lossy: the vendor's own server tools cannot be offered over the bridge
      continue
    }
    for (const field of Object.keys(tool)) if (!UNDERSTOOD_OF_TOOL.has(field)) dropped.push(`${path}.${field}`)
    const description = typeof tool['description'] === 'string' ? tool['description'] : undefined
    read.push({ name, sent: toSentName(name), description, schema: tool['input_schema'] })
  }
  // lossy: the program sorts them
  if (read.some((tool, index) => index > 0 && tool.sent < (read[index - 1]?.sent ?? ''))) dropped.push('tools.order')
  return read
}

/** The program drops such a text, and would ask the model about "(no content)". */
function isBlank({ type, text }: JsonObject): boolean {
  return type === 'text' && String(text ?? '').trim() === ''
}

/** The bridge's name of a tool: the client's own wherever it is legal. */
export function toSentName(name: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(name) && name.length <= MAX_NAME) return name
  const tag = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, MAX_NAME - 9)}_${tag}`
}

function readThinking(thinking: Json | undefined, dropped: string[]): string | undefined {
  if (!isObject(thinking)) return '0' // unset would turn it on
  if (thinking['display'] != null) dropped.push('thinking.display')
  if (thinking['type'] === 'adaptive') return undefined
  const budget = thinking['type'] === 'enabled' ? thinking['budget_tokens'] : undefined
  return typeof budget === 'number' ? String(budget) : '0'
}

function readEffort(config: Json | undefined, dropped: string[]): string | undefined {
  if (!isObject(config)) return undefined
  for (const field of Object.keys(config)) if (field !== 'effort') dropped.push(`output_config.${field}`)
  const effort = config['effort']
  return typeof effort === 'string' && /^[a-z]{1,20}$/.test(effort) ? effort : undefined
}

function readToolChoice(choice: Json | undefined, dropped: string[]): void {
  if (!isObject(choice)) return
  if (choice['type'] !== 'auto') dropped.push('tool_choice') // lossy: the model may always choose
  if (choice['disable_parallel_tool_use'] === true) dropped.push('tool_choice.disable_parallel_tool_use')
}
