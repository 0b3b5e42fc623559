import { deepStrictEqual, doesNotMatch, match, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { END_MARKS, PAIRS, STREAMS, STREAM_ERRORS, ask } from './helpers/answers.ts'
import { createHome, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { DialectName } from '../src/index.ts'

/** Sends the first words; the rest when told to. */
async function startHalf(context: TestContext, backend: DialectName): Promise<{ url: string; finish: () => void }> {
  const { preamble, content, end } = STREAMS[backend]
  let finish = (): void => {}
  const { url } = await startUpstream(context, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(preamble + content[0])
    finish = () => void response.end(content[1] + end)
  })
  return { url, finish: () => finish() }
}

/** Reads the first words, so that the stream is known to run. */
async function readFirst(response: Response): Promise<{ rest: () => Promise<string> }> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('Hello')) text += (await reader.read()).value ?? ''
  return {
    async rest() {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value
      return text
    },
  }
}

for (const pair of PAIRS) {
  const [client, backend] = pair
  test(`shutdown: a stream finishes within the grace (${client} from ${backend})`, async (context) => {
    const half = await startHalf(context, backend)
    const { url, proxy } = await startProxy(context, { backends: backendsAt(half.url) })
    const stream = await readFirst(await ask(url, client, `${backend}/m`, { stream: true }))
    const closed = proxy.close(5_000)
    await rejects(ask(url, client, `${backend}/m`), 'no new connection is taken')
    half.finish()
    match(await withDeadline(stream.rest(), 2_000, 'the rest'), END_MARKS[client])
    await withDeadline(closed, 2_000, 'the close')
  })

  test(`shutdown: after the grace a stream ends with the error of the dialect (${client} from ${backend})`, async (context) => {
    const half = await startHalf(context, backend)
    const { url, proxy, records } = await startProxy(context, { backends: backendsAt(half.url) })
    const stream = await readFirst(await ask(url, client, `${backend}/m`, { stream: true }))
    const closed = proxy.close(50)
    const text = await withDeadline(stream.rest(), 2_000, 'the rest')
    match(text, STREAM_ERRORS[client])
    match(text, /shutting down/)
    doesNotMatch(text, END_MARKS[client])
    await withDeadline(closed, 2_000, 'the close')
    deepStrictEqual(records.map(({ end, error }) => [end, error?.code]), [['broken', 'overloaded']])
  })
}

test('shutdown: SIGTERM lets the program finish its streams, then it exits with 0', async (context) => {
  const half = await startHalf(context, 'anthropic')
  const home = createHome(context)
  const file = join(home, 'config.json')
  writeFileSync(file, JSON.stringify({ port: 0, backends: { up: { type: 'anthropic', baseUrl: half.url, keys: ['sk-test-SECRETSECRET'] } } }))
  const dario = startDario(context, home, ['proxy', '--config', file])
  const [url = ''] = await dario.says(/http:\/\/localhost:\d+/)
  const stream = await readFirst(await ask(url, 'anthropic', 'up/m', { stream: true }))
  dario.child.kill('SIGTERM')
  const exited = once(dario.child, 'exit')
  setTimeout(half.finish, 100)
  match(await withDeadline(stream.rest(), 5_000, 'the rest'), /message_stop/)
  const [code] = await withDeadline(exited, 5_000, 'the exit')
  strictEqual(code, 0)
})
