/**
 * dario with everything that watches switched off, which no setting does: the one place from which observers are told
 * is replaced before dario is loaded. The base of the row that measures what watching costs.
 * @module
 */
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'

const nobody = 'export const fanOut = () => ({ flush() {} })\n'
const hook = `export async function load(url, context, next) {
  return url.endsWith('/dist/observe/channel.js') ? { format: 'module', shortCircuit: true, source: ${JSON.stringify(nobody)} } : next(url, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
process.argv.splice(1, 1)
await import(pathToFileURL(process.argv[1] ?? '').href)
