/**
 * A real proxy over the fake `claude` program, and requests of all three dialects to it.
 * @module
 */
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { ProxyOptions } from '../../src/index.ts'
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { PATHS } from './answers.ts'
import { installFakeClaude } from './fake-claude.ts'
import type { FakeClaude, Scenario } from './fake-claude.ts'
import { startProxy } from './proxy.ts'
import type { TestProxy } from './proxy.ts'

export interface PlanProxy extends TestProxy {
  fake: FakeClaude
}

export async function startPlanProxy(context: TestContext, options: ProxyOptions = {}, scenario: Scenario = {}): Promise<PlanProxy> {
  const fake = await installFakeClaude(context, scenario, () => proxy.proxy.close(0))
  const proxy = await startProxy(context, {
    environment: { PATH: process.env['PATH'], HOME: fake.folder, TMPDIR: join(fake.folder, 'tmp') },
    ...options,
    backends: { plan: { type: 'claude-code', command: fake.command }, ...options.backends },
  })
  return { ...proxy, fake }
}

export interface Call { id: string; name: string; input: JsonObject }

export interface Told {
  response: Response
  /** Body as it came. */
  raw: string
  text: string
  calls: Call[]
}

const PARAMETERS: JsonObject = { type: 'object', properties: { a: { type: 'number' } } }

/** Tools of these names, as each dialect writes them. */
export function makeTools(dialect: DialectName, names: readonly string[]): JsonObject[] {
  return names.map((name) => {
    switch (dialect) {
      case 'anthropic': return { name, description: 'd', input_schema: PARAMETERS }
      case 'chat': return { type: 'function', function: { name, description: 'd', parameters: PARAMETERS } }
      case 'responses': return { type: 'function', name, description: 'd', parameters: PARAMETERS, strict: false }
    }
  })
}

export async function post(
  url: string, dialect: DialectName, turns: readonly JsonObject[], more: JsonObject = {}, headers: Record<string, string> = {},
): Promise<Told> {
  const list = [...turns]
  const body = dialect === 'responses' ? { input: list } : { messages: list, ...(dialect === 'anthropic' ? { max_tokens: 500 } : {}) }
  const response = await fetch(url + PATHS[dialect], {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ model: 'claude-sonnet-4-5', ...body, ...more }),
  })
  const raw = await response.text()
  if (!response.ok || raw.startsWith('event:') || raw.startsWith('data:')) return { response, raw, text: '', calls: [] }
  return { response, raw, ...readWhole(dialect, JSON.parse(raw) as JsonObject) }
}

function readWhole(dialect: DialectName, body: JsonObject): { text: string; calls: Call[] } {
  switch (dialect) {
    case 'anthropic': {
      const blocks = body['content'] as unknown as { type: string; text: string; id: string; name: string; input: JsonObject }[]
      return { text: blocks.map(({ type, text }) => type === 'text' ? text : '').join(''), calls: blocks.filter(({ type }) => type === 'tool_use') }
    }
    case 'chat': {
      const [choice] = body['choices'] as unknown as { message: { content: string | null; tool_calls?: { id: string; function: { name: string; arguments: string } }[] } }[]
      const calls = choice?.message.tool_calls?.map(({ id, function: { name, arguments: input } }) => ({ id, name, input: JSON.parse(input) as JsonObject }))
      return { text: choice?.message.content ?? '', calls: calls ?? [] }
    }
    case 'responses': {
      const items = body['output'] as unknown as { type: string; content?: { text: string }[]; call_id: string; name: string; arguments: string }[]
      const calls = items.filter(({ type }) => type === 'function_call')
      return {
        text: items.flatMap(({ type, content }) => type === 'message' ? content?.map(({ text }) => text) ?? [] : []).join(''),
        calls: calls.map(({ call_id: id, name, arguments: input }) => ({ id, name, input: JSON.parse(input) as JsonObject })),
      }
    }
  }
}

/** The turns that follow an answer with these calls: the calls themselves and their results. */
export function makeResults(dialect: DialectName, { raw, calls }: Told, results: readonly string[]): JsonObject[] {
  const body = JSON.parse(raw) as { content: JsonObject[]; choices: { message: JsonObject }[]; output: JsonObject[] }
  switch (dialect) {
    case 'anthropic': return [
      { role: 'assistant', content: body.content },
      { role: 'user', content: calls.map(({ id }, index) => ({ type: 'tool_result', tool_use_id: id, content: results[index] ?? '' })) },
    ]
    case 'chat': return [body.choices[0]!.message, ...calls.map(({ id }, index) => ({ role: 'tool', tool_call_id: id, content: results[index] ?? '' }))]
    case 'responses': return [...body.output, ...calls.map(({ id }, index) => ({ type: 'function_call_output', call_id: id, output: results[index] ?? '' }))]
  }
}
