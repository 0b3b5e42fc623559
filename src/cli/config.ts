/**
 * `dario config path|check`.
 * @module
 */
import { existsSync } from 'node:fs'
import { readConfig } from '../config/file.ts'
import { DarioError } from '../errors.ts'
import { answer, toSource, warn } from './command.ts'
import type { Command } from './command.ts'

export const printPath: Command = async (context) => {
  const { file } = toSource(context)
  answer(context, { file, exists: existsSync(file) }, () => context.output.line(file))
}

export const checkConfig: Command = async (context) => {
  const { output, values } = context
  const source = toSource(context)
  const { file } = source
  const exists = existsSync(file)
  try {
    const { config, warnings } = readConfig(source)
    const backends = Object.values(config.backends).filter(({ discovered }) => !discovered).length
    const routes = config.routes.length
    answer(context, { file, exists, valid: true, warnings, backends, routes }, () => {
      for (const warning of warnings) warn(context, warning)
      if (exists) output.line(`${file} is valid; backends: ${backends}, routes: ${routes}`)
      else if (warnings.length === 0) output.line(`${file} does not exist; dario uses what it finds`)
    })
    return exists || source.isNamed !== true ? 0 : 1
  } catch (error) {
    if (values['json'] !== true || !(error instanceof DarioError)) throw error
    output.json({ file, exists, valid: false, path: error.path, problem: error.message })
    return 1
  }
}
