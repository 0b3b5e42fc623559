/**
 * `dario route list|add|remove|explain`.
 * @module
 */
import { editConfig } from '../config/file.ts'
import { DarioError } from '../errors.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import { nearest } from '../config/nearest.ts'
import { createProxy, describeKey } from '../proxy.ts'
import { assemble, findRunning, loadConfig, toSource } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'

export const routes: Command = async (context) => {
  switch (context.name) {
    case 'route add': return await add(context)
    case 'route remove': return await remove(context)
    case 'route explain': return await explain(context)
    default: return list(context)
  }
}

function list(context: CommandContext): number {
  const { output, values } = context
  const { config } = loadConfig(context)
  if (values['json'] === true) output.json({ routes: config.routes, aliases: config.aliases })
  else if (config.routes.length === 0) output.line("no routes: models go by their family. Add one: dario route add 'claude-*' anthropic")
  else output.table([['MODEL', 'TO'], ...config.routes.map(({ model, to }) => [model, to.join(', then ')])])
  return 0
}

function isRoute(route: Json, model: string): boolean {
  return typeof route === 'object' && route !== null && !Array.isArray(route) && route['model'] === model
}

function readRoutes(json: JsonObject): Json[] {
  return Array.isArray(json['routes']) ? json['routes'] : (json['routes'] = [])
}

async function add(context: CommandContext): Promise<number> {
  const { output, values, positionals } = context
  const [model = '', ...to] = positionals
  await editConfig(toSource(context), (json) => {
    const present = readRoutes(json)
    const same = present.findIndex((route) => isRoute(route, model))
    const catchAll = present.findIndex((route) => isRoute(route, '*'))
    if (same !== -1 && values['first'] !== true) return void present.splice(same, 1, { model, to })
    if (same !== -1) present.splice(same, 1)
    // Behind `*` it would never be reached.
    present.splice(values['first'] === true ? 0 : catchAll === -1 ? present.length : catchAll, 0, { model, to })
  })
  if (values['json'] === true) output.json({ model, to })
  else output.line(`${cleanText(model)} goes to ${to.map(cleanText).join(', then ')}`)
  return 0
}

async function remove(context: CommandContext): Promise<number> {
  const { output, values, positionals: [model = ''] } = context
  await editConfig(toSource(context), (json) => {
    const present = readRoutes(json)
    const at = present.findIndex((route) => isRoute(route, model))
    if (at !== -1) return void present.splice(at, 1)
    const near = nearest(model, present.map((route) => String((route as JsonObject | null)?.['model'])))
    const hint = near === undefined ? 'see: dario route list' : `did you mean "${near}"?`
    throw new DarioError('not_found', `no route for "${model}"; ${hint}`)
  })
  if (values['json'] === true) output.json({ removed: model })
  else output.line(`route ${cleanText(model)} removed`)
  return 0
}

async function explain(context: CommandContext): Promise<number> {
  const { output, values, positionals: [model = ''] } = context
  const { config } = await assemble(context)
  const proxy = createProxy({ config, environment: context.environment })
  const { lines, chain, reason } = proxy.explain(model)
  await proxy.close(0)
  const running = await findRunning(config.port, context.environment)
  const resting = [...new Set(chain.map(({ backend }) => backend))].flatMap((id) => running?.keys.get(id) ?? []).filter(({ state }) => state !== 'ready')
  if (values['json'] === true) output.json({ model, chain, reason, lines, running: running?.url, resting })
  else for (const line of [...lines, ...resting.map(describeKey)]) output.line(cleanText(line))
  return chain.length > 0 ? 0 : 1
}
