/**
 * What encoders of requests have in common: names and ids cut to a vendor's limit, always the same way, so that a prompt
 * cache and a history stay stable; the way back from such a name; cache marks; and what is dropped.
 * @module
 */
import type {
  BlockOf, CacheHint, HubRequest, Json, JsonObject, OutputFormat, Tool, ToolKind, Warning,
} from '../hub/types.ts'
import type { DecodeContext, Target, ToolIdentity } from './dialect.ts'
import { defined, optionalStr } from './read.ts'
import { repairSchema } from './schema.ts'

/** One request on its way into a dialect: what every step needs. */
export interface Encoding {
  target: Target
  names: ToolNames
  warnings: Warning[]
  /** Says what could not be carried, and gives the nothing that goes in its place. */
  drop: (path: string, reason: string) => undefined
}

export function createEncoding(target: Target, maxNameChars?: number): Encoding {
  const warnings: Warning[] = []
  const drop = (path: string, reason: string): undefined => void warnings.push({ path, reason })
  return { target, names: createToolNames(maxNameChars), warnings, drop }
}

export function encodeCache(cache: CacheHint | undefined, { repairs }: Target): JsonObject {
  if (cache === undefined || repairs.has('no_cache_marks')) return {}
  return { cache_control: defined({ type: 'ephemeral', ttl: repairs.has('no_cache_ttl') ? undefined : cache.ttl }) }
}

type EncodeTool<Context extends Encoding> =
  (tool: Tool, path: string, wireName: string, encoding: Context) => JsonObject | undefined

/** Each tool as it is sent: of two with one name the last counts, in the first one's place (pitfalls K14, K15). */
export function encodeTools<Context extends Encoding>(
  { tools }: HubRequest, encoding: Context, encode: EncodeTool<Context>,
): JsonObject[] {
  const sent = new Map<string, JsonObject>()
  for (const [index, tool] of tools.entries()) {
    const name = 'name' in tool ? encoding.names.toWire({ ...tool, kind: tool.type }) : undefined
    const wire = encode(tool, tool.path ?? `tools[${index}]`, name ?? '', encoding)
    if (wire !== undefined) sent.set(name ?? optionalStr(wire['name']) ?? JSON.stringify(wire), wire)
  }
  return [...sent.values()]
}

/** Nothing at all when no tool is left (pitfalls A10, Q11); the choice is made from what is really sent (R16). */
export function encodeToolFields<Context extends Encoding>(
  request: HubRequest, encoding: Context, encodeTool: EncodeTool<Context>,
  encodeChoice: (request: HubRequest, tools: JsonObject[], encoding: Context) => Json | undefined,
): JsonObject {
  const { type } = request.toolChoice ?? {}, tools = encodeTools(request, encoding, encodeTool)
  if (tools.length > 0) {
    const choice = encodeChoice(request, tools, encoding)
    return defined({ tools, tool_choice: choice, parallel_tool_calls: encodeParallel(request, encoding) })
  }
  const isForced = type === 'required' || type === 'tool'
  if (isForced) encoding.drop('tool_choice', 'no tool is left that this backend could be made to call')
  return {}
}

/** The wish that a model be held to a schema; `isKnown`: this vendor has a word for it. */
export function encodeStrict(
  strict: boolean | undefined, path: string, { target, drop }: Encoding, isKnown = true,
): boolean | undefined {
  if (isKnown && !target.repairs.has('no_strict')) return strict
  return strict === true ? drop(`${path}.strict`, 'this backend does not hold a model to a schema') : undefined
}

/** Whether calls may come several at once; undefined: not said. */
export function encodeParallel(
  { parallelTools, toolChoice }: HubRequest, { target, drop }: Encoding,
): boolean | undefined {
  if (!target.repairs.has('no_parallel_tools')) return parallelTools
  const isLost = parallelTools === false && toolChoice?.type !== 'none'
  return isLost ? drop('parallel_tool_calls', 'this backend cannot be held to one call at a time') : undefined
}

export function encodeSchema(format: Extract<OutputFormat, { type: 'json_schema' }>, encoding: Encoding): JsonObject {
  return defined({
    name: (format.name ?? 'response').replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64),
    description: format.description,
    schema: repairSchema(format.schema),
    strict: encodeStrict(format.strict, 'format', encoding),
  })
}

/** lossy: where nothing holds a model to a format, words ask for it (pitfall B10). */
export function tellFormat(format: OutputFormat, { drop }: Encoding, form = 'value and nothing else'): string {
  drop('format', 'this model is only asked to keep to it')
  const rule = format.type === 'json_schema' ? ` It must match this JSON schema: ${JSON.stringify(format.schema)}` : ''
  return `Answer with one JSON ${form}.${rule}`
}

/** lossy: free text becomes one string field; a grammar is only described (pitfall R5). */
export function wrapCustomTool(
  { description = '', format }: Extract<Tool, { type: 'custom' }>, path: string, { drop }: Encoding,
): { description: string; schema: JsonObject } {
  const isFree = format === undefined || format['type'] === 'text'
  if (!isFree) drop(`${path}.format`, 'this backend does not hold a model to a grammar')
  const grammar = isFree ? '' : `\nThe input must match this format: ${JSON.stringify(format)}`
  const properties = { input: { type: 'string', description: 'The whole input as raw text' } }
  const schema = { type: 'object', properties, required: ['input'] }
  return { description: `${description}${grammar}`.trim(), schema }
}

/** The name that is sent for a tool which the client knows by this one; undefined when it offers none. */
export function toWireName(name: string, tools: readonly Tool[], { names }: Encoding): string | undefined {
  const tool = tools.find((one) => 'name' in one && one.name === name)
  return tool !== undefined && 'name' in tool ? names.toWire(tool) : undefined
}

/** OpenAI's limit for tool names, call ids, `prompt_cache_key` and `safety_identifier`, in characters. */
const MOST = 64

/** Two FNV-1a passes: dialects have no access to `node:crypto`, and nothing here is a secret. */
function hash(text: string): string {
  let low = 0x811c9dc5
  let high = 0x9dc5811c
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ (code + 0x55), 0x01000193)
  }
  return [low, high].map((half) => (half >>> 0).toString(36)).join('')
}

/** The text itself when it fits, else its head and a hash of all of it (pitfalls R19, C7). */
export function shorten(text: string, most: number = MOST): string {
  if (text.length <= most) return text
  const mark = hash(text)
  return `${text.slice(0, most - mark.length - 1)}_${mark}`
}

/** Cut to OpenAI's limit (R19), but not where LiteLLM keeps Gemini's proof of thought in the id: cut, it is a 400. */
export function toCallId(id: string, most: number, { host = '' }: Target): string {
  const isProof = id.includes('__thought__') && !/(?:^|\.)(?:openai|azure)\.com$/.test(host)
  return isProof ? id : shorten(id, most)
}

/** The block of a call that came by its wire name, as the client knows the tool. */
export function toToolUse(
  { toolNames }: DecodeContext, id: string, wireName: string, kind?: ToolKind, namespace?: string,
): BlockOf<'tool_use'> {
  const known = toolNames.get(wireName)
  return defined({
    type: 'tool_use', id, name: known?.name ?? wireName, input: '',
    kind: known?.kind === 'custom' ? 'custom' : kind,
    namespace: known === undefined ? namespace : known.namespace,
  })
}

/** Letters, digits, `_` and `-`; what is changed ends in a hash of the original: `a.b` and `a/b` stay apart. */
export function toLegal(text: string, most: number): string {
  const legal = text.replace(/[^A-Za-z0-9_-]/g, '_')
  return legal === text && text !== '' && text.length <= most ? text : `${legal.slice(0, most - 15)}_${hash(text)}`
}

export interface ToolNames {
  /** The name to send for a tool that the client knows by this identity; what it is, it is by the first that asks. */
  toWire(tool: { name: string; namespace?: string | undefined; kind?: 'function' | 'custom' | undefined }): string
  /** Names that had to be changed, and custom tools under any name, by the name that was sent. */
  readonly changed: ReadonlyMap<string, ToolIdentity>
}

/** Legal names of at most `most` characters, unique within a request (pitfalls K1, K2, R6). */
export function createToolNames(most: number = MOST): ToolNames {
  const sent = new Map<string, string>()
  const changed = new Map<string, ToolIdentity>()
  const taken = new Set<string>()
  return {
    changed,
    toWire(tool) {
      const { name, namespace, kind = 'function' } = tool
      const key = JSON.stringify([namespace, name])
      const known = sent.get(key)
      if (known !== undefined) return known
      let wire = toLegal(namespace === undefined ? name : `${namespace}__${name}`, most)
      while (taken.has(wire)) wire = `${wire.slice(0, most - 15)}_${hash(key + wire)}`
      if (kind === 'custom' || wire !== name) {
        changed.set(wire, { name, kind, ...(kind === 'custom' || 'namespace' in tool ? { namespace } : {}) })
      }
      taken.add(wire)
      sent.set(key, wire)
      return wire
    },
  }
}
