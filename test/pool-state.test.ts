import { deepStrictEqual, doesNotMatch, match, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createHome, runDario, startDario } from './helpers/command.ts'
import { startProxy } from './helpers/proxy.ts'
import { ask, refuse, startVendor } from './helpers/vendor.ts'
import type { Vendor } from './helpers/vendor.ts'

interface Case { home: string; url: string; vendor: Vendor; label: string; run: (...args: string[]) => ReturnType<typeof runDario> }

/** A running dario of which one key was limited for 50 s. */
async function startLimited(t: TestContext, config: object = {}, environment: Record<string, string> = {}): Promise<Case> {
  const vendor = await startVendor(t, 'chat', 'ab')
  const home = createHome(t)
  const file = join(home, 'config.json')
  const write = (port: number): void => writeFileSync(file, JSON.stringify({ port, backends: { v: vendor.backend }, ...config }), { mode: 0o600 })
  write(0)
  const [, url = '', port] = await startDario(t, home, ['proxy', '--config', file], { environment }).says(/listens on (http:\/\/\S+:(\d+))/) as unknown as string[]
  write(Number(port))
  vendor.next.push(refuse(429, 'rate_limit_error', { 'retry-after': '50' }))
  const headers: Record<string, string> = environment['DARIO_ACCESS_KEY'] === undefined ? {} : { 'x-api-key': environment['DARIO_ACCESS_KEY'] }
  strictEqual((await ask(url, 'chat', { model: 'v:m', headers })).status, 200)
  const label = vendor.asked()[0] === 'a' ? 'v#1' : 'v#2'
  return { home, url, vendor, label, run: (...args) => runDario(t, home, [...args, '--config', file], { environment }) }
}

test('W12: backend list shows the keys as the running dario knows them, by label', async (t) => {
  const { run, label, url } = await startLimited(t)
  const { stdout, stderr } = await run('backend', 'list')
  match(stdout, new RegExp(`${label} resting until \\S+Z \\(rate_limited\\)`))
  match(stdout, /v#[12] ready/)
  doesNotMatch(stdout + stderr, /sk-test/)
  match(stderr, /keys as the dario at/)
  const json = JSON.parse((await run('backend', 'list', '--json')).stdout) as { running: string; backends: { states: { label: string; state: string }[] }[] }
  strictEqual(new URL(json.running).port, new URL(url).port)
  deepStrictEqual(json.backends[0]?.states.find(({ state }) => state === 'resting')?.label, label)
})

test('W12: backend list says when no dario runs, and shows the configuration', async (t) => {
  const { code, stdout, stderr } = await runDario(t, createHome(t), ['backend', 'list', '--json'])
  strictEqual(code, 0)
  strictEqual((JSON.parse(stdout) as { running?: string }).running, undefined)
  doesNotMatch(stderr, /keys as the dario/)
})

test('W12: route explain shows which keys rest and until when', async (t) => {
  const { run, label } = await startLimited(t)
  match((await run('route', 'explain', 'v:m')).stdout, new RegExp(`${label} resting until \\S+Z \\(rate_limited\\)`))
  const { resting } = JSON.parse((await run('route', 'explain', 'v:m', '--json')).stdout) as { resting: { label: string }[] }
  deepStrictEqual(resting.map((key) => key.label), [label])
})

test('W12: with access keys the states come with DARIO_ACCESS_KEY', async (t) => {
  const key = 'test-access-key-of-this-test'
  const hash = createHash('sha256').update(key).digest('hex')
  const { run, label } = await startLimited(t, { accessKeys: [{ name: 'me', hash }] }, { DARIO_ACCESS_KEY: key })
  match((await run('backend', 'list')).stdout, new RegExp(`${label} resting`))
})

test('pool: health tells the states of keys only to who has the access key', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const key = 'test-access-key-of-this-test'
  const hash = createHash('sha256').update(key).digest('hex')
  const { url } = await startProxy(t, { backends: { v: vendor.backend }, accessKeys: [{ name: 'me', hash }] })
  doesNotMatch(await (await fetch(`${url}/health`)).text(), /v#1/)
  match(await (await fetch(`${url}/health`, { headers: { 'x-api-key': key } })).text(), /"label":"v#1","state":"ready"/)
})
