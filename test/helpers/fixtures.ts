/**
 * Recorded vendor traffic: `<case>.chunks.txt` (one JSON event per line) and `<case>.json` (a whole answer).
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { DialectName, JsonObject } from '../../src/hub/types.ts'

const ROOT = new URL('../fixtures/', import.meta.url)

/** Names of the recorded cases of a dialect, without their ending. */
export function listFixtures(dialect: DialectName, kind: 'stream' | 'whole'): string[] {
  const ending = kind === 'stream' ? '.chunks.txt' : '.json'
  return readdirSync(new URL(`${dialect}/`, ROOT))
    .filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length))
}

export function readEvents(dialect: DialectName, name: string): JsonObject[] {
  return readFileSync(new URL(`${dialect}/${name}.chunks.txt`, ROOT), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as JsonObject)
}

/** The stream as the vendor framed it. */
export function readSse(dialect: DialectName, name: string): string {
  const lines = readFileSync(new URL(`${dialect}/${name}.chunks.txt`, ROOT), 'utf8').split('\n').filter((line) => line.trim() !== '')
  if (dialect === 'chat') return lines.map((line) => `data: ${line}\n\n`).join('') + 'data: [DONE]\n\n'
  return lines.map((line) => `event: ${(JSON.parse(line) as { type: string }).type}\ndata: ${line}\n\n`).join('')
}

export function readWhole(dialect: DialectName, name: string): JsonObject {
  return JSON.parse(readFileSync(new URL(`${dialect}/${name}.json`, ROOT), 'utf8')) as JsonObject
}
