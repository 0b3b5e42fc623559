/**
 * Tools, tool choice and reasoning of a Chat Completions request.
 * @module
 */
import type { HubRequest, Json, JsonObject, Thinking, Tool, ToolChoice } from '../../hub/types.ts'
import {
  arr, defined, filled, given, isObject, obj, optionalArr, optionalBool, optionalNum, optionalObj, optionalStr, readCache,
  readEffort,
} from '../read.ts'

export function decodeTools(body: JsonObject): Tool[] {
  const read = (item: Json, path: string): Tool => decodeTool(obj(item, path), path)
  const tools = (given(body['tools'], 'tools', arr) ?? []).map((item, index) => read(item, `tools[${index}]`))
  for (const [index, item] of (given(body['functions'], 'functions', arr) ?? []).entries()) { // the form before `tools`
    tools.push(read({ type: 'function', function: item }, `functions[${index}]`))
  }
  const search = optionalObj(body['web_search_options'])
  if (search !== undefined) tools.push({ type: 'web_search', origin: 'chat', value: search })
  return tools
}

function decodeTool(tool: JsonObject, path: string): Tool {
  const type = optionalStr(tool['type']) ?? 'function'
  const part = optionalObj(tool[type]) ?? tool // a flat tool is Responses' form: clients mix them up
  const name = optionalStr(part['name']) ?? ''
  const description = optionalStr(part['description'])
  const format = optionalObj(part['format'])
  if (type === 'custom' && name !== '') return { ...defined({ type, name, description }), format }
  if (type.startsWith('web_search')) return { type: 'web_search', origin: 'chat', value: tool }
  if (type !== 'function') return { type: 'opaque', origin: 'chat', value: tool }
  filled(part['name'], `${path}.${part === tool ? '' : `${type}.`}name`)
  return defined({
    type, name, description,
    inputSchema: optionalObj(part['parameters']) ?? { type: 'object', properties: {} },
    strict: optionalBool(part['strict']),
    cache: readCache(tool) ?? readCache(part),
  })
}

/** The choice, and the tools that it leaves: the hub has no list of allowed tools, so the others are left out. */
export function decodeToolChoice(body: JsonObject, tools: Tool[]): Pick<HubRequest, 'tools' | 'toolChoice'> {
  const choice = body['tool_choice'] ?? body['function_call']
  const allowed = isObject(choice) && choice['type'] === 'allowed_tools'
    ? optionalObj(choice['allowed_tools']) ?? choice
    : undefined
  if (allowed === undefined) return { tools, toolChoice: decodeChoice(choice) }
  const names = (optionalArr(allowed['tools']) ?? []).map(nameOf)
  return {
    // lossy: a shorter list misses the prompt cache
    tools: tools.filter((tool) => !('name' in tool) || names.includes(tool.name)),
    toolChoice: decodeChoice(allowed['mode']),
  }
}

function decodeChoice(choice: Json | undefined): ToolChoice | undefined {
  switch (choice) {
    case 'none': return { type: 'none' }
    case 'auto': return { type: 'auto' }
    case 'any': // Mistral
    case 'required': return { type: 'required' }
  }
  const name = nameOf(choice)
  return name === undefined ? undefined : { type: 'tool', name }
}

/** The name in `{type, function: {name}}`, `{type, custom: {name}}`, or in the bare `{name}` of older clients. */
function nameOf(value: Json | undefined): string | undefined {
  if (!isObject(value)) return undefined
  return optionalStr((optionalObj(value['function']) ?? optionalObj(value['custom']) ?? value)['name'])
}

/** `reasoning_effort`, OpenRouter's `reasoning`, and the `thinking` switch that many vendors took from Anthropic. */
export function decodeThinking(body: JsonObject): Thinking | undefined {
  const reasoning = optionalObj(body['reasoning']), thinking = optionalObj(body['thinking'])
  const word = optionalStr(body['reasoning_effort']) ?? optionalStr(reasoning?.['effort'])
  const budget = optionalNum(reasoning?.['max_tokens']) ?? optionalNum(thinking?.['budget_tokens'])
  if (word === 'none' || reasoning?.['enabled'] === false || thinking?.['type'] === 'disabled') return { mode: 'off' }
  const visible = reasoning?.['exclude'] === true ? { visible: false } : {}
  if (budget !== undefined) return { mode: 'on', budget, ...visible }
  const effort = readEffort(word)
  if (effort !== undefined) return { mode: 'on', effort, ...visible }
  if (thinking?.['type'] === 'adaptive') return { mode: 'adaptive' }
  return reasoning?.['enabled'] === true || thinking?.['type'] === 'enabled' ? { mode: 'on', ...visible } : undefined
}
