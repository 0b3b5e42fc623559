import { match, ok, strictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { ask, makeRequest } from '../helpers/answers.ts'
import { createHome, startDario } from '../helpers/command.ts'
import type { Started } from '../helpers/command.ts'
import { until } from '../helpers/until.ts'
import { startProxy } from '../helpers/proxy.ts'

interface Served { url: string; port: number; dario: Started; resident(): number }

/** The real program with the built-in backend, in a process of its own: its memory and its handles are its own. */
async function serve(context: TestContext): Promise<Served> {
  const dario = startDario(context, createHome(context), ['--port', '0'])
  dario.finished.catch(() => {}) // it is killed at the end, however long that takes
  const [, found = ''] = await dario.says(/http:\/\/localhost:(\d+)\n/)
  const status = (): string => readFileSync(`/proc/${dario.child.pid}/status`, 'utf8')
  return { url: `http://127.0.0.1:${found}`, port: Number(found), dario, resident: () => Number(/VmRSS:\s+(\d+) kB/.exec(status())?.[1]) * 1024 }
}

async function checkAlive({ url }: Served, ms: number): Promise<void> {
  const began = performance.now()
  match(await (await ask(url, 'anthropic', 'echo')).text(), /"stop_reason":"end_turn"/)
  ok(performance.now() - began < ms, `an answer took ${performance.now() - began} ms`)
}

function openSocket(context: TestContext, port: number, text: string): Socket {
  const socket = connect(port, '127.0.0.1')
  context.after(() => socket.destroy())
  socket.on('error', () => {}).resume().write(text)
  return socket
}

test('hostile: ten thousand requests that stay half open cost little memory, delay nobody and are given up', { timeout: 180_000 }, async (context) => {
  const served = await serve(context)
  const handles = Number(spawnSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout) || Infinity
  const count = Math.min(10_000, handles - 500)
  const before = served.resident()
  const sockets: Socket[] = []
  let open = 0
  while (sockets.length < count) {
    for (let left = Math.min(500, count - sockets.length); left > 0; left--) {
      const kinds = ['POST /v1/messages HTTP/1.1\r\nhost: local', 'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"model":', 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET ']
      const socket = openSocket(context, served.port, kinds[sockets.length % 3] ?? '')
      socket.once('connect', () => { open++ }).once('close', () => { open-- })
      sockets.push(socket)
    }
    await until(() => open === sockets.length)
  }
  await checkAlive(served, 5_000)
  ok(served.resident() - before < 400_000_000, `${served.resident() - before} bytes for ${count}`)
  await until(() => open <= count / 100, 120_000)
  await checkAlive(served, 5_000)
})

test('hostile: 300 clients that send one byte at a time and 100 that read nothing delay nobody', { timeout: 120_000 }, async (context) => {
  const served = await serve(context)
  const body = JSON.stringify(makeRequest('anthropic', 'echo', { stream: true, messages: [{ role: 'user', content: 'word '.repeat(100_000) }] }))
  const senders = Array.from({ length: 300 }, () => openSocket(context, served.port, `POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n`))
  const before = served.resident()
  for (let index = 0; index < 100; index++) {
    const sent = request({ port: served.port, host: '127.0.0.1', path: '/v1/messages', method: 'POST', agent: false }, (response) => response.pause())
    sent.on('error', () => {}).end(body)
    context.after(() => sent.destroy())
  }
  for (let at = 0; at < 100; at++) {
    for (const socket of senders) socket.write(body.charAt(at))
    if (at % 25 === 0) await checkAlive(served, 30_000)
    await sleep(20)
  }
  ok(served.resident() - before < 1_500_000_000, `${(served.resident() - before) / 2 ** 20} MiB`)
})

for (const [encoding, compress] of [['gzip', gzipSync], ['br', brotliCompressSync]] as const) {
  test(`hostile: fifty ${encoding} bombs at once are refused at the limit and leave no memory behind`, { timeout: 120_000 }, async (context) => {
    const served = await serve(context)
    const bomb = compress(Buffer.alloc(1_000_000_000))
    const post = async (): Promise<number> => (await fetch(`${served.url}/v1/messages`, { method: 'POST', body: bomb, headers: { 'content-encoding': encoding } })).status
    const before = served.resident()
    let most = 0
    const watch = setInterval(() => { most = Math.max(most, served.resident()) }, 20)
    const statuses = await Promise.all(Array.from({ length: 50 }, post))
    clearInterval(watch)
    ok(statuses.every((status) => status === 413), statuses.join())
    ok(most - before < 1_500_000_000, `${(most - before) / 2 ** 20} MiB at most`)
    await checkAlive(served, 5_000)
  })
}

test('hostile: 40 MB of JSON in every shape is answered or refused within seconds', { timeout: 120_000 }, async (context) => {
  const { url } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
  const many = (item: string): string => Array.from({ length: Math.floor(40_000_000 / (item.length + 1)) }, () => item).join(',')
  for (const [what, messages] of [['numbers', many('1')], ['empty lists', many('[]')], ['quotes', `"${'\\"'.repeat(20_000_000)}"`], ['turns', many('{"role":"user","content":"x"}')], ['spaces', ' '.repeat(40_000_000)]] as const) {
    const began = performance.now()
    const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: `{"model":"echo","max_tokens":9,"messages":[${messages}]}` })
    await response.text()
    ok([200, 400, 413].includes(response.status), `${what}: ${response.status}`)
    ok(performance.now() - began < 30_000, `${what}: ${performance.now() - began} ms`)
  }
  strictEqual((await fetch(`${url}/health`)).status, 200)
})

test('hostile: a request of names without end is no way to fill memory', async (context) => {
  const { url } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
  const before = process.memoryUsage().rss
  for (let round = 0; round < 2_000; round++) {
    await (await ask(url, 'responses', `no-such-model-${round}-${'x'.repeat(400)}`, {}, { headers: { 'user-agent': `${round}`.repeat(50), 'x-session-id': `${round}`.repeat(100) } })).text()
  }
  ok(process.memoryUsage().rss - before < 300_000_000)
})
