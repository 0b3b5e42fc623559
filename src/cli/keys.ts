/**
 * `dario key list|add|remove`: access keys for clients of this dario. Made here, shown once, kept as a hash.
 * @module
 */
import { randomBytes } from 'node:crypto'
import { hashKey } from '../config/parse.ts'
import { editConfig } from '../config/file.ts'
import { DarioError } from '../errors.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import { nearest } from '../config/nearest.ts'
import { createUsageError, loadConfig, text, toSource } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'

export const keys: Command = async (context) => {
  switch (context.name) {
    case 'key add': return await add(context)
    case 'key remove': return await remove(context)
    default: return list(context)
  }
}

function list(context: CommandContext): number {
  const { output, values } = context
  const rows = loadConfig(context).config.accessKeys.map(({ name, routes }) => ({ name, routes }))
  if (values['json'] === true) output.json({ keys: rows })
  else if (rows.length === 0) output.line('no access keys: every program on this machine may use dario. Make one: dario key add NAME')
  else output.table([['NAME', 'ROUTES'], ...rows.map(({ name, routes }) => [name, routes?.join(', ') ?? 'all'])])
  return 0
}

function readKeys(json: JsonObject): Json[] {
  return Array.isArray(json['accessKeys']) ? json['accessKeys'] : (json['accessKeys'] = [])
}

function toName(key: Json): string {
  return typeof key === 'object' && key !== null && !Array.isArray(key) ? String(key['name'] ?? '') : ''
}

async function add(context: CommandContext): Promise<number> {
  const { output, values, positionals: [name = ''] } = context
  if (!/^[\w.@-]{1,64}$/.test(name)) throw createUsageError(`"${cleanText(name)}" cannot be a name: use up to 64 letters, digits, . _ - and @`)
  const routes = text(context, 'route')?.split(',').map((route) => route.trim()).filter((route) => route !== '')
  const unknown = routes?.find((route) => !loadConfig(context).config.routes.some(({ model }) => model === route))
  if (unknown !== undefined) throw new DarioError('not_found', `no route for "${cleanText(unknown)}"; see: dario route list`)
  const key = `dario-${randomBytes(24).toString('base64url')}`
  await editConfig(toSource(context), (json) => {
    const present = readKeys(json)
    if (present.some((other) => toName(other) === name)) throw new DarioError('conflict', `a key is called ${name} already; first: dario key remove ${name}`)
    present.push({ name, hash: hashKey(key), ...(routes === undefined ? {} : { routes }) })
  })
  if (values['json'] === true) return output.json({ name, key, routes }), 0
  output.line(key)
  output.note(`This is the key of ${name}. It is not kept and cannot be shown again.`)
  output.note('Tools send it as their API key. From now on dario answers only requests that carry a key.')
  return 0
}

async function remove(context: CommandContext): Promise<number> {
  const { output, values, positionals: [name = ''] } = context
  let left = 0
  await editConfig(toSource(context), (json) => {
    const present = readKeys(json)
    const at = present.findIndex((key) => toName(key) === name)
    const near = nearest(name, present.map(toName).filter((other) => other !== ''))
    if (at === -1) throw new DarioError('not_found', `no key is called "${cleanText(name)}"; ${near === undefined ? 'see: dario key list' : `did you mean "${near}"?`}`)
    present.splice(at, 1)
    left = present.length
  })
  if (values['json'] === true) output.json({ removed: name })
  else output.line(`key ${name} removed`)
  if (left === 0) output.note('No key is left: dario answers every program on this machine again.')
  return 0
}
