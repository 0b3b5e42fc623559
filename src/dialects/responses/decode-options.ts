/**
 * Decodes what a Responses request says about tools, their choice and reasoning.
 * https://platform.openai.com/docs/api-reference/responses/create
 * @module
 */
import type { HubRequest, JsonObject, Thinking, Tool, ToolChoice, Warning } from '../../hub/types.ts'
import {
  arr, defined, filled, given, isObject, obj, objectsIn, optionalArr, optionalBool, optionalObj, optionalStr, readEffort, str,
} from '../read.ts'

/** Codex offers its newest models every tool in the conversation itself; the later of two with one name holds. */
export function decodeTools(body: JsonObject): Tool[] {
  const tools = readTools(body['tools'], 'tools')
  for (const [index, item] of (optionalArr(body['input']) ?? []).entries()) {
    if (isObject(item) && item['type'] === 'additional_tools') tools.push(...readTools(item['tools'], `input[${index}].tools`))
  }
  return [...new Map(tools.map((tool) => [JSON.stringify('name' in tool ? [tool.namespace, tool.name] : tool.value), tool])).values()]
}

function readTools(list: unknown, path: string, namespace?: string): Tool[] {
  return (given(list, path, arr) ?? []).flatMap((tool, index) => {
    const at = `${path}[${index}]`
    return decodeTool(obj(tool, at), at, namespace)
  })
}

function decodeTool(tool: JsonObject, path: string, namespace?: string): Tool[] {
  const type = str(tool['type'], `${path}.type`)
  const description = optionalStr(tool['description'])
  switch (type) {
    case 'function': {
      const inputSchema = optionalObj(tool['parameters']) ?? { type: 'object', properties: {} }
      const name = filled(tool['name'], `${path}.name`)
      return [defined({ type, name, description, namespace, inputSchema, strict: optionalBool(tool['strict']), path })]
    }
    case 'custom': {
      const grammar = optionalObj(tool['format'])
      const format = grammar?.['type'] === 'text' ? undefined : grammar
      return [defined({ type, name: filled(tool['name'], `${path}.name`), description, namespace, format, path })]
    }
    case 'namespace': { // R6: lossy: the namespace's own description has no place in a flat list
      const name = str(tool['name'], `${path}.name`)
      return readTools(arr(tool['tools'], `${path}.tools`), `${path}.tools`, name)
    }
    default:
      return [{ type: /^web_search(_|$)/.test(type) ? 'web_search' : 'opaque', origin: 'responses', value: tool, path }]
  }
}

/** The choice, and the tools that `allowed_tools` leaves. */
export function decodeToolChoice(value: unknown, tools: Tool[], warnings: Warning[]): Pick<HubRequest, 'tools' | 'toolChoice'> {
  if (value === 'auto' || value === 'none' || value === 'required') return { tools, toolChoice: { type: value } }
  if (!isObject(value)) return { tools, toolChoice: undefined }
  switch (value['type']) {
    case 'function':
    case 'custom': return { tools, toolChoice: { type: 'tool', name: str(value['name'], 'tool_choice.name') } }
    case 'allowed_tools': {
      const allowed = objectsIn(value['tools'])
      const toolChoice: ToolChoice = { type: value['mode'] === 'required' ? 'required' : 'auto' }
      return { tools: tools.filter((tool) => allowed.some((wanted) => isSameTool(tool, wanted))), toolChoice }
    }
    default: // lossy: other APIs cannot force a server tool
      warnings.push({ path: 'tool_choice', reason: `only OpenAI can force the tool ${optionalStr(value['type'])}` })
      return { tools, toolChoice: { type: 'auto' } }
  }
}

function isSameTool(tool: Tool, wanted: JsonObject): boolean {
  if (tool.type === 'function' || tool.type === 'custom') {
    if (wanted['type'] === 'namespace') return tool.namespace === wanted['name']
    return wanted['type'] === tool.type && wanted['name'] === tool.name
  }
  return tool.value['type'] === wanted['type'] && (wanted['server_label'] ?? null) === (tool.value['server_label'] ?? null)
}

/** A wish for summaries alone is no wish for reasoning: Codex sends it to models that have none (Q4, T10). */
export function decodeThinking(reasoning: JsonObject | undefined): Thinking | undefined {
  const effort = optionalStr(reasoning?.['effort'])
  if (effort === undefined) return undefined
  if (effort === 'none') return { mode: 'off' }
  const visible = (reasoning?.['summary'] ?? reasoning?.['generate_summary']) != null
  return defined<Thinking>({ mode: 'on', effort: readEffort(effort), visible })
}
