import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { DIALECTS, PAIRS, PATHS, STREAMS, STREAM_ERRORS, ask, makeError, wholeStream } from './helpers/answers.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { DialectName } from '../src/index.ts'

const PINGS: Record<DialectName, string> = {
  anthropic: 'event: ping\ndata: {"type":"ping"}\n\n', chat: ': keep-alive\n\n', responses: ': keep-alive\n\n',
}
const GRACE = 60

interface Upstream { url: string; go: () => void }

/** Answers in steps: the next one goes out when the test says `go`. */
async function startSteps(context: TestContext, ...steps: string[]): Promise<Upstream> {
  let allowed = 0 // a ping may come before the upstream was asked
  let wake = (): void => {}
  const { url } = await startUpstream(context, async (_, response) => {
    for (const [index, step] of steps.entries()) {
      while (allowed < index) await new Promise<void>((resolve) => { wake = resolve })
      if (step === '') continue // not even headers
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(step)
    }
    response.end()
  })
  return { url, go: () => void (allowed++, wake()) }
}

/** Reads until `done` is content; returns all text so far. */
function createReader(response: Response): (done: (text: string) => boolean) => Promise<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return (done) => withDeadline((async () => {
    while (!done(text)) {
      const { value, done: ended } = await reader.read()
      if (ended) break
      text += value
    }
    return text
  })(), 5_000, 'the stream')
}

for (const client of DIALECTS) {
  const count = (text: string): number => text.split(PINGS[client]).length - 1

  test(`keep-alive: S19: ${client} clients hear a ping while the upstream has not even begun`, async (context) => {
    const upstream = await startSteps(context, '', wholeStream('anthropic'))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url), keepAlive: GRACE })
    const response = await ask(url, client, 'anthropic/m', { stream: true })
    match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
    ok(response.headers.get('dario-request-id'))
    const read = createReader(response)
    await read((text) => count(text) >= 2)
    upstream.go()
    const text = await read(() => false)
    ok(text.startsWith(PINGS[client]))
    match(text, /Hello/)
  })

  test(`keep-alive: S19: ${client} clients hear pings between events, in relays and translations`, async (context) => {
    for (const backend of DIALECTS) {
      const { preamble, content, end } = STREAMS[backend]
      const upstream = await startSteps(context, preamble + content[0], content[1] + end)
      const { url } = await startProxy(context, { backends: backendsAt(upstream.url), keepAlive: GRACE })
      const read = createReader(await ask(url, client, `${backend}/m`, { stream: true }))
      const before = await read((text) => count(text) >= 2)
      upstream.go()
      const text = await read(() => false)
      ok(before.includes('Hello') && text.includes(' world') && text.startsWith(before), backend)
      if (client === backend) strictEqual(text.replaceAll(PINGS[client], ''), preamble + content.join('') + end)
    }
  })

  test(`keep-alive: a ping never stands inside a relayed event of ${client}`, async (context) => {
    const { preamble, content, end } = STREAMS[client]
    const whole = preamble + content.join('') + end
    const cut = preamble.length + content[0]!.length + 12
    const upstream = await startSteps(context, whole.slice(0, cut), whole.slice(cut))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url), keepAlive: GRACE })
    const read = createReader(await ask(url, client, `${client}/m`, { stream: true }))
    await read((text) => count(text) >= 2)
    upstream.go()
    const text = await read(() => false)
    strictEqual(text.replaceAll(PINGS[client], ''), whole)
    const pieces = text.split(PINGS[client])
    ok(pieces.slice(0, -1).every((piece) => piece === '' || piece.endsWith('\n\n')))
  })

  test(`keep-alive: S20: after the first ping an error comes in the stream for ${client} clients`, async (context) => {
    let go = (): void => {}
    const told = new Promise<void>((resolve) => { go = resolve }) // a ping may come before the upstream was asked
    const upstream = await startUpstream(context, async (_, response) => {
      await told
      sendJson(response, 429, makeError('anthropic', 'rate_limit_error', 'slow down'))
    })
    const { url, nextRecord } = await startProxy(context, { backends: backendsAt(upstream.url), keepAlive: GRACE })
    const record = nextRecord()
    const response = await ask(url, client, 'anthropic/m', { stream: true })
    const read = createReader(response)
    await read((text) => count(text) >= 1)
    go()
    const text = await read(() => false)
    strictEqual(response.status, 200)
    match(text, STREAM_ERRORS[client])
    match(text, /slow down/)
    const { status, end } = await record
    deepStrictEqual([status, end], [200, 'broken'])
  })
}

for (const [client, backend] of PAIRS) {
  test(`keep-alive: S20: within the grace a real error keeps its status (${client} from ${backend})`, async (context) => {
    const { url: up } = await startUpstream(context, (_, response) => sendJson(response, 429, makeError(backend, 'x', 'slow down')))
    const { url } = await startProxy(context, { backends: backendsAt(up), keepAlive: 2_000 })
    const response = await ask(url, client, `${backend}/m`, { stream: true })
    strictEqual(response.status, 429)
    match(response.headers.get('content-type') ?? '', /json/)
  })
}

test('keep-alive: a client that wants JSON gets no ping', async (context) => {
  const upstream = await startUpstream(context, (_, response) => void setTimeout(() => sendJson(response, 200, { ok: true }), GRACE * 4))
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url), keepAlive: GRACE })
  const response = await fetch(url + PATHS.anthropic, { method: 'POST', body: '{"model":"anthropic/m"}' })
  strictEqual(await response.text(), '{"ok":true}')
})
