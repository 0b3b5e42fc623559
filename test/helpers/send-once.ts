/**
 * A process of its own that sends through a backend and prints what came: certificate authorities (NODE_EXTRA_CA_CERTS)
 * are read once, at the start of a process. Arguments: base URL, number of requests, connect timeout in ms.
 * @module
 */
import { readText } from '../../src/backends/body.ts'
import { createHttpBackend } from '../../src/backends/http.ts'

const [baseUrl = '', count = '1', connect = '5000'] = process.argv.slice(2)
const backend = createHttpBackend({
  id: 'up', type: 'openai', baseUrl, speaks: ['chat'], keys: [], headers: {}, dropBetas: [], version: '0',
  timeouts: { connect: Number(connect), firstByte: 5_000, silence: 5_000 },
  environment: process.env,
})
const call = { method: 'GET', path: '/v1/models', dialect: 'chat', model: '', stream: false, headers: {}, body: undefined, session: undefined, loopback: true } as const
try {
  const texts: string[] = []
  for (let index = 0; index < Number(count); index++) {
    texts.push(await readText(await backend.send(call, { label: 'up#1', value: 'sk-test', weight: 1 }, new AbortController().signal)))
    await new Promise(setImmediate)
  }
  console.log(JSON.stringify({ texts }))
} catch (error) {
  const { name, code, message } = error as Error & { code: string }
  console.log(JSON.stringify({ name, code, message }))
}
await backend.close()
