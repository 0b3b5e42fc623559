/**
 * Encodes tools and their choice for a Responses backend.
 * https://platform.openai.com/docs/guides/function-calling
 * @module
 */
import type { HubRequest, JsonObject, Tool, Warning } from '../../hub/types.ts'
import type { Target } from '../dialect.ts'
import type { ToolNames } from '../names.ts'
import { optionalObj, optionalStr, toText } from '../read.ts'
import { repairSchema } from '../schema.ts'

/** `tools`, `tool_choice` and `parallel_tool_calls`; nothing at all when no tool is left (pitfalls A10, Q11). */
export function encodeToolFields(request: HubRequest, target: Target, names: ToolNames, warnings: Warning[]): JsonObject {
  const byName = new Map<string, JsonObject>()
  for (const [index, tool] of request.tools.entries()) {
    const encoded = encodeTool(tool, `tools[${index}]`, target, names, warnings)
    if (encoded === undefined) continue
    byName.set(optionalStr(encoded['name']) ?? JSON.stringify(encoded), encoded) // K14: the last of a name wins
  }
  const tools = [...byName.values()]
  if (tools.length === 0) {
    if (request.toolChoice?.type === 'required' || request.toolChoice?.type === 'tool') {
      warnings.push({ path: 'tool_choice', reason: 'no tool is left that this backend could be made to call' })
    }
    return {}
  }
  const choice = encodeToolChoice(request, tools, names, warnings)
  const parallel = target.repairs.has('no_parallel_tools') ? undefined : request.parallelTools
  return {
    tools,
    ...(choice === undefined ? {} : { tool_choice: choice }),
    ...(parallel === undefined ? {} : { parallel_tool_calls: parallel }),
  }
}

function encodeTool(tool: Tool, path: string, target: Target, names: ToolNames, warnings: Warning[]): JsonObject | undefined {
  switch (tool.type) {
    case 'function': return {
      type: 'function',
      name: names.toWire({ ...tool, kind: 'function' }),
      ...(tool.description === undefined ? {} : { description: tool.description }),
      parameters: repairSchema(tool.inputSchema, { root: 'object', inlineRefs: false }),
      // Here `strict` is on unless it is switched off, and then refuses most schemas (pitfall K7).
      ...(target.repairs.has('no_strict') ? {} : { strict: tool.strict ?? false }),
    }
    case 'custom': return {
      type: 'custom',
      name: names.toWire({ ...tool, kind: 'custom' }),
      ...(tool.description === undefined ? {} : { description: tool.description }),
      ...(tool.format === undefined ? {} : { format: tool.format }),
    }
    case 'web_search': {
      if (tool.origin === 'responses') return tool.value
      if (target.host === 'api.openai.com') return encodeWebSearch(tool.value)
      warnings.push({ path, reason: 'this backend is not known to search the web' }) // A12, R15
      return undefined
    }
    case 'opaque': {
      if (tool.origin === 'responses') return tool.value
      warnings.push({ path, reason: `only ${tool.origin} can run the tool ${toText(tool.value['type'])}` })
      return undefined
    }
    default: return tool satisfies never
  }
}

/** From Anthropic's tool or from Chat's `web_search_options`. lossy: `max_uses` and blocked domains have no word here. */
function encodeWebSearch(value: JsonObject): JsonObject {
  const asked = optionalObj(value['user_location'])
  const location = asked === undefined ? undefined : { type: 'approximate', ...optionalObj(asked['approximate']) ?? asked }
  return {
    type: 'web_search',
    ...(Array.isArray(value['allowed_domains']) ? { filters: { allowed_domains: value['allowed_domains'] } } : {}),
    ...(location === undefined ? {} : { user_location: location }),
    ...(optionalStr(value['search_context_size']) === undefined ? {} : { search_context_size: value['search_context_size'] }),
  }
}

/** From the tools that are really sent (pitfall R16). */
function encodeToolChoice(
  request: HubRequest, tools: JsonObject[], names: ToolNames, warnings: Warning[],
): JsonObject | string | undefined {
  const choice = request.toolChoice
  if (choice?.type !== 'tool') return choice?.type
  const wanted = request.tools.find((tool) => (tool.type === 'function' || tool.type === 'custom') && tool.name === choice.name)
  const wire = wanted === undefined || !('name' in wanted) ? undefined : names.toWire(wanted)
  const sent = tools.find((tool) => tool['name'] === wire && wire !== undefined)
  if (sent !== undefined) return { type: sent['type'] as string, name: wire }
  const search = tools.find((tool) => tool['type'] === 'web_search')
  if (choice.name === 'web_search' && search !== undefined) return { type: 'web_search' }
  warnings.push({ path: 'tool_choice', reason: `the tool ${choice.name} is not sent, so it cannot be forced` })
  return 'auto'
}
