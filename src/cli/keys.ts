/**
 * `dario key list|add|remove`: access keys for clients of this dario. Made here, shown once, kept as a hash.
 * @module
 */
import { randomBytes } from 'node:crypto'
import { readConfig } from '../config/file.ts'
import { hashKey } from '../config/parse.ts'
import { DarioError } from '../errors.ts'
import { answer, createUsageError, editList, findName, loadConfig, toSource, words } from './command.ts'
import type { Command } from './command.ts'
import { cleanText } from './output.ts'

export const listKeys: Command = async (context) => {
  const { output } = context
  const keys = loadConfig(context).config.accessKeys.map(({ name, routes }) => ({ name, routes }))
  answer(context, { keys }, () => {
    if (keys.length === 0) output.line('no access keys: every program on this machine may use dario. Make one: dario key add NAME')
    else output.table([['NAME', 'ROUTES'], ...keys.map(({ name, routes }) => [name, routes?.join(', ') ?? 'all'])])
  })
}

export const addKey: Command = async (context) => {
  const { output, positionals: [name = ''] } = context
  if (!/^[\w.@-]{1,64}$/.test(name)) throw createUsageError(`"${cleanText(name)}" cannot be a name: use up to 64 letters, digits, . _ - and @`)
  const routes = words(context, 'route')
  const known = routes === undefined ? [] : readConfig(toSource(context)).config.routes.map(({ model }) => model)
  for (const route of routes ?? []) findName(route, known, `no route for "${cleanText(route)}"`, 'see: dario route list')
  const key = `dario-${randomBytes(24).toString('base64url')}`
  await editList(context, 'accessKeys', (items, names) => {
    if (names.includes(name)) throw new DarioError('conflict', `a key is called ${name} already; first: dario key remove ${name}`)
    items.push({ name, hash: hashKey(key), ...(routes && { routes }) })
  })
  answer(context, { name, key, routes }, () => {
    output.line(key)
    output.note(`This is the key of ${name}. It is not kept and cannot be shown again.`)
    output.note('Tools send it as their API key. From now on dario answers only requests that carry a key.')
  })
}

export const removeKey: Command = async (context) => {
  const { output, positionals: [name = ''] } = context
  let left = 0
  await editList(context, 'accessKeys', (items, names) => {
    items.splice(findName(name, names, `no key is called "${cleanText(name)}"`, 'see: dario key list'), 1)
    left = items.length
  })
  answer(context, { removed: name }, () => output.line(`key ${name} removed`))
  if (left === 0) output.note('No key is left: dario answers every program on this machine again.')
}
