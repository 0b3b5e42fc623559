/**
 * What the choice of a key costs: everything that the pool does for one request, without the request.
 * @module
 */
import type { Backend } from '../../src/backends/backend.ts'
import { createPool } from '../../src/backends/pool.ts'
import { readAffinity } from '../../src/exchange/affinity.ts'
import { peek } from '../../src/exchange/peek.ts'

const ROUNDS = 100_000
const BODY = peek(Buffer.from(JSON.stringify({ model: 'claude', max_tokens: 1, metadata: { user_id: 'user_1_session_2' }, messages: [] })))
const HEADERS = {
  'content-type': 'application/json', date: 'Thu, 01 Jan 2026 00:00:00 GMT', 'request-id': 'req_1',
  'anthropic-ratelimit-requests-limit': '50', 'anthropic-ratelimit-requests-remaining': '49', 'anthropic-ratelimit-requests-reset': '2026-01-01T00:00:01Z',
  'anthropic-ratelimit-tokens-limit': '90000', 'anthropic-ratelimit-tokens-remaining': '80000', 'anthropic-ratelimit-tokens-reset': '2026-01-01T00:00:02Z',
}

/** Microseconds of processor time per request with five keys, of which one rests and 1,000 conversations are known. */
export function measurePool(): number {
  const backend: Backend = {
    id: 'bench', type: 'anthropic', speaks: ['anthropic'], host: 'api.anthropic.com',
    keys: Array.from({ length: 5 }, (_, index) => ({ label: `bench#${index + 1}`, value: `bench-key-${index}`, weight: 1 })),
    send: () => Promise.reject(new Error('nothing is sent')),
    close: () => Promise.resolve(),
  }
  const pool = createPool(Date.now)
  const chain = [{ backend, model: 'claude' }]
  const once = (conversation: string): void => {
    const waiting = pool.candidates(chain, () => readAffinity({ 'x-session-id': conversation }, BODY), () => false)
    const candidate = pool.take(waiting, true)
    if (candidate !== undefined) pool.served(candidate, HEADERS, true)
  }
  const [resting] = pool.candidates(chain, () => '', () => false)
  pool.report(resting!, { outcome: 'auth', wholeKey: true })
  for (let index = 0; index < ROUNDS / 5; index++) once(`warm-up ${index % 1000}`)
  const before = process.cpuUsage()
  for (let index = 0; index < ROUNDS; index++) once(`conversation ${index % 1000}`)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / ROUNDS
}
