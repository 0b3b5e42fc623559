import { ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createHome, startDario } from './helpers/command.ts'
import { ask, letterOf, refuse, startVendor } from './helpers/vendor.ts'
import type { Vendor } from './helpers/vendor.ts'

/** Sends each request to the next of the servers, whatever it is about. */
async function startBalancer(t: TestContext, urls: readonly string[]): Promise<{ url: string; counts: number[] }> {
  const counts = urls.map(() => 0)
  let turn = 0
  const server = createServer((incoming, outgoing) => {
    const index = turn++ % urls.length
    counts[index]!++
    const { host: _, ...headers } = incoming.headers
    const forward = request(urls[index] + incoming.url!, { method: incoming.method, headers, agent: false }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(outgoing)
    })
    incoming.pipe(forward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counts }
}

/** Two dario processes whose files list the same keys in another order. */
async function startPair(t: TestContext, vendor: Vendor): Promise<{ url: string; counts: number[] }> {
  const keys = (vendor.backend as { keys: string[] }).keys
  const urls = await Promise.all([keys, keys.toReversed()].map(async (listed) => {
    const home = createHome(t)
    const file = join(home, 'config.json')
    writeFileSync(file, JSON.stringify({ port: 0, backends: { v: { ...vendor.backend, keys: listed } } }), { mode: 0o600 })
    const [, url = ''] = await startDario(t, home, ['proxy', '--config', file]).says(/listens on (http:\/\/\S+:\d+)/)
    return url
  }))
  return startBalancer(t, urls)
}

test('G1: two darios behind a round-robin balancer keep each conversation on one key, without talking to each other', async (t) => {
  const vendor = await startVendor(t, 'chat', 'abcde')
  const { url, counts } = await startPair(t, vendor)
  const homes = new Set<string>()
  for (let conversation = 0; conversation < 12; conversation++) {
    const before = vendor.received.length
    for (let turn = 0; turn < 4; turn++) strictEqual((await ask(url, 'chat', { model: 'v:m', session: `talk ${conversation}` })).status, 200)
    const used = new Set(vendor.received.slice(before).map(letterOf))
    strictEqual(used.size, 1)
    homes.add([...used][0]!)
  }
  ok(counts.every((count) => count === 24), `${counts}`)
  ok(homes.size > 1)
})

test('G7: when a key fails both darios go to the same second key', async (t) => {
  const vendor = await startVendor(t, 'chat', 'abcde')
  const { url } = await startPair(t, vendor)
  await ask(url, 'chat', { model: 'v:m', session: 'talk' })
  const home = vendor.asked()
  vendor.moods.set(home, refuse(429, 'rate_limit_error', { 'retry-after': '60' }))
  for (let turn = 0; turn < 6; turn++) strictEqual((await ask(url, 'chat', { model: 'v:m', session: 'talk' })).status, 200)
  strictEqual(new Set(vendor.asked().replaceAll(home, '')).size, 1)
})
