/**
 * `dario route list|add|remove|explain`.
 * @module
 */
import { createProxy, describeKey } from '../proxy.ts'
import { answer, assemble, editList, findName, findRunning, loadConfig } from './command.ts'
import type { Command } from './command.ts'
import { cleanText } from './output.ts'

export const listRoutes: Command = async (context) => {
  const { output } = context
  const { routes, aliases } = loadConfig(context).config
  answer(context, { routes, aliases }, () => {
    if (routes.length === 0) output.line("no routes: models go by their family. Add one: dario route add 'claude-*' anthropic")
    else output.table([['MODEL', 'TO'], ...routes.map(({ model, to }) => [model, to.join(', then ')])])
  })
}

export const addRoute: Command = async (context) => {
  const { output, values, positionals: [model = '', ...rest] } = context
  const to = rest.flatMap((word) => word.split(',')).map((target) => target.trim()).filter(Boolean) // people write commas too
  await editList(context, 'routes', (items, names) => {
    const same = names.indexOf(model)
    if (same !== -1 && values['first'] !== true) return void items.splice(same, 1, { model, to })
    if (same !== -1) items.splice(same, 1)
    // Behind `*` it would never be reached.
    const last = names.includes('*') ? names.indexOf('*') : items.length
    items.splice(values['first'] === true ? 0 : last, 0, { model, to })
  })
  answer(context, { model, to }, () => output.line(`${cleanText(model)} goes to ${to.map(cleanText).join(', then ')}`))
}

export const removeRoute: Command = async (context) => {
  const { output, positionals: [model = ''] } = context
  await editList(context, 'routes', (items, names) => {
    items.splice(findName(model, names, `no route for "${model}"`, 'see: dario route list'), 1)
  })
  answer(context, { removed: model }, () => output.line(`route ${cleanText(model)} removed`))
}

export const explainRoute: Command = async (context) => {
  const { output, environment, positionals: [model = ''] } = context
  const { config } = await assemble(context)
  const proxy = createProxy({ config, environment })
  const { lines, chain, reason } = proxy.explain(model)
  await proxy.close(0)
  const running = await findRunning(config, environment)
  const keys = [...new Set(chain.map(({ backend }) => backend))].flatMap((id) => running?.backends.get(id)?.keys ?? [])
  const resting = keys.filter(({ state }) => state !== 'ready')
  answer(context, { model, chain, reason, lines, running: running?.url, resting }, () => {
    for (const line of [...lines, ...resting.map(describeKey)]) output.line(cleanText(line))
  })
  return chain.length > 0 ? 0 : 1
}
