/**
 * `dario config path|check`.
 * @module
 */
import { existsSync } from 'node:fs'
import { readConfig } from '../config/file.ts'
import { DarioError } from '../errors.ts'
import { toSource, warn } from './command.ts'
import type { Command } from './command.ts'

export const config: Command = async (context) => {
  const { output, values, name } = context
  const source = toSource(context)
  const { file } = source
  const exists = existsSync(file)
  if (name === 'config path') {
    if (values['json'] === true) output.json({ file, exists })
    else output.line(file)
    return 0
  }
  try {
    const { config: { backends, routes }, warnings } = readConfig(source)
    const count = { backends: Object.values(backends).filter(({ discovered }) => !discovered).length, routes: routes.length }
    if (values['json'] === true) output.json({ file, exists, valid: true, warnings, ...count })
    else {
      for (const warning of warnings) warn(context, warning)
      output.line(exists ? `${file} is valid: ${count.backends} backends, ${count.routes} routes` : `${file} does not exist; dario uses what it finds`)
    }
    return 0
  } catch (error) {
    if (values['json'] !== true || !(error instanceof DarioError)) throw error
    output.json({ file, exists, valid: false, path: error.path, problem: error.message })
    return 1
  }
}
