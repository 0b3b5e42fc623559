/**
 * A process of its own with a plan backend in it: one run idle, one parked, and, unless it is told to be done then, one
 * that streams until a test kills the process.
 * @module
 */
import { join } from 'node:path'
import { createPlanBackend } from '../../src/plan/plan.ts'
import { GET_TOOL, readAnswer, toCall } from './plan.ts'

const [command = '', folder = '', env = '{}', isDone] = process.argv.slice(2)
let id = 0
const backend = createPlanBackend({
  id: 'plan', command, env: JSON.parse(env) as Record<string, string>, idleMs: 60_000, maxProcesses: 4, maxQueue: 8, warm: false,
  environment: { PATH: process.env['PATH'], HOME: folder, TMPDIR: join(folder, 'tmp') },
  now: Date.now, newId: (prefix) => `${prefix}_${++id}`, log: () => {}, version: '0.0.0',
})
const signal = new AbortController().signal
const body = (text: string): { model: string; stream: true; tools: never[]; messages: never[] } =>
  ({ model: 'opus', stream: true, tools: [GET_TOOL] as never[], messages: [{ role: 'user', content: text }] as never[] })
await readAnswer(await backend.send(toCall(body('say idle')), undefined, signal))
await readAnswer(await backend.send(toCall(body('call get {}')), undefined, signal))
if (isDone === undefined) {
  const streaming = await backend.send(toCall(body('wait')), undefined, signal)
  streaming.body.resume()
}
process.stdout.write('ready\n')
