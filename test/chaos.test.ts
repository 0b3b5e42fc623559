import { deepStrictEqual, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { runChaos } from './helpers/chaos.ts'

test('failover: 400 requests through injected faults are answered once, whole and by nobody else\'s answer', async () => {
  const { figures, violations } = await runChaos({ requests: 400, concurrency: 32, seed: Math.floor(Math.random() * 1e6), stall: 2500 })
  deepStrictEqual(violations, [])
  ok((figures['faults'] ?? 0) > 50, 'faults were injected')
  ok((figures['cut'] ?? 0) > 0, 'answers were cut')
})
