/**
 * Folders of dario's own, and those above them.
 * @module
 */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Private ones (0700), where there are none. Node's own `recursive` never returns where the system says ENOENT of every
 * attempt, as below /proc.
 * @throws Node's error when that cannot be
 */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  if (dirname(folder) !== folder) makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // else another dario was faster
  }
}
