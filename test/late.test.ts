import { strictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildDario } from './helpers/built.ts'

/** Asks a fresh proxy twice: first without a file descriptor left, then with all of them. */
const SCRIPT = `
import { closeSync, openSync } from 'node:fs'
import { createProxy } from './dist/index.js'
const [, , path, body] = process.argv
const proxy = createProxy({ environment: {}, backends: { echo: { type: 'echo' } } })
async function ask() {
  const response = await proxy.fetch(new Request('http://localhost' + path, body ? { method: 'POST', body } : {}))
  await response.text()
  return response.status
}
const taken = []
try { for (;;) taken.push(openSync(process.execPath)) } catch {}
await ask().then(console.log, () => console.log('refused'))
for (const file of taken) closeSync(file)
console.log(await ask())
await proxy.close(0)
`
const script = join(buildDario(), 'starve.mjs')
writeFileSync(script, SCRIPT)

const BODY = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'x' }], input: 'x' })
const REQUESTS = [
  ['/v1/models', ''], ['/metrics', ''], ['/v1/messages/count_tokens', BODY], ['/v1/messages', BODY],
  ['/v1/chat/completions', BODY], ['/v1/responses', BODY],
] as const

for (const [path, body] of REQUESTS) {
  test(`late: what ${path} needs and could not be loaded is loaded by the next request`, () => {
    const args = ['-c', 'ulimit -n 128; exec "$@"', 'sh', process.execPath, script, path, body]
    const { stdout, stderr } = spawnSync('/bin/sh', args, { encoding: 'utf8', timeout: 20_000 })
    strictEqual(stdout + stderr, 'refused\n200\n')
  })
}
