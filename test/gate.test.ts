import { deepStrictEqual, match, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { createGate } from '../src/backends/gate.ts'
import { DarioError } from '../src/errors.ts'

const never = new AbortController().signal

test('gate: the next in line enters when one leaves, in order of arrival', async () => {
  const gate = createGate('b', 1, 2)
  const entered: string[] = []
  const leave = await gate.enter(never)
  const second = gate.enter(never).then((free) => (entered.push('second'), free))
  const third = gate.enter(never).then((free) => (entered.push('third'), free))
  deepStrictEqual(entered, [])
  leave()
  const leaveSecond = await second
  deepStrictEqual(entered, ['second'])
  leaveSecond()
  await third
  deepStrictEqual(entered, ['second', 'third'])
})

test('G9: a full line is 429 with a wait and the names of the settings', async () => {
  const gate = createGate('b', 1, 0)
  await gate.enter(never)
  await rejects(gate.enter(never), (error: DarioError) => {
    strictEqual(error.status, 429)
    strictEqual(error.retryAfterMs, 1000)
    match(error.message, /backends\.b\.maxConcurrent or maxQueue/)
    return true
  })
})

test('F5: who leaves the line gives up its place at once', async () => {
  const gate = createGate('b', 1, 1)
  const leave = await gate.enter(never)
  const controller = new AbortController()
  const waiting = gate.enter(controller.signal)
  const gone = new DarioError('client_closed', 'gone')
  controller.abort(gone)
  await rejects(waiting, gone)
  const next = gate.enter(never) // would be refused if the place were still taken
  leave()
  await next
})

test('F5: who has left already does not enter the line', async () => {
  const gate = createGate('b', 1, 1)
  await gate.enter(never)
  const gone = new DarioError('client_closed', 'gone')
  await rejects(gate.enter(AbortSignal.abort(gone)), gone)
})
