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

/** The answers of a recording: some hold several, one per step of an agent's loop. */
export function readAnswers(dialect: DialectName, name: string): JsonObject[][] {
  const answers: JsonObject[][] = [[]]
  for (const event of readEvents(dialect, name)) {
    const last = answers.at(-1)!.at(-1)?.['type']
    if (last === 'message_stop' || last === 'response.completed') answers.push([])
    answers.at(-1)!.push(event)
  }
  return answers
}

/** A stream as the vendor framed it. */
export function toSse(dialect: DialectName, events: readonly JsonObject[]): string {
  if (dialect === 'chat') return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('') + 'data: [DONE]\n\n'
  return events.map((event) => `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

/** A recorded file as one stream, byte for byte. */
export function readSse(dialect: DialectName, name: string): string {
  const lines = readFileSync(new URL(`${dialect}/${name}.chunks.txt`, ROOT), 'utf8').split('\n').filter((line) => line.trim() !== '')
  if (dialect === 'chat') return lines.map((line) => `data: ${line}\n\n`).join('') + 'data: [DONE]\n\n'
  return lines.map((line) => `event: ${(JSON.parse(line) as { type: string }).type}\ndata: ${line}\n\n`).join('')
}

export function readWhole(dialect: DialectName, name: string): JsonObject {
  return JSON.parse(readFileSync(new URL(`${dialect}/${name}.json`, ROOT), 'utf8')) as JsonObject
}
