import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig } from '../src/config/parse.ts'
import type { JsonObject } from '../src/hub/types.ts'
import { DIALECTS, PATHS, makeRequest } from './helpers/answers.ts'
import { createHome, runDario } from './helpers/command.ts'
import { startProxy } from './helpers/proxy.ts'

/** Names that are a path, a header, a query, a terminal command, a member of Object, or no text at all. */
const TRAPS = ['../../etc/passwd', '..\\..\\x', 'a\u0000b', 'a\nb', 'a\r\nx-evil: 1', '__proto__', 'constructor', 'toString', '\u001b[2J\u0007', 'é💥', '\ud800', '%2e%2e%2f', '$(id)', '`id`', "'; --", ' ', 'x'.repeat(100_000)]

const title = (trap: string): string => JSON.stringify(trap.slice(0, 20))

for (const dialect of DIALECTS) {
  test(`hostile: model names that are traps get one clean answer from ${dialect}`, async (context) => {
    const { url } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
    for (const model of TRAPS.flatMap((trap) => [trap, `echo:${trap}`, `${trap}/x`])) {
      for (const stream of [false, true]) {
        const response = await fetch(url + PATHS[dialect], { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(makeRequest(dialect, model, { stream })) })
        const body = await response.text()
        ok([200, 400, 404].includes(response.status), `${title(model)}: ${response.status} ${body.slice(0, 200)}`)
        strictEqual(response.headers.get('x-evil'), null)
        ok(!/[\u0000-\u0009\u000b-\u001f]/.test(body), `${title(model)}: ${JSON.stringify(body.slice(0, 300))}`)
        ok(body.length < 20_000 + 4 * model.length)
      }
    }
    deepStrictEqual(Object.keys(Object.prototype), [])
    strictEqual((await fetch(`${url}/health`)).status, 200)
  })

  test(`hostile: tool names and arguments that are members of Object come back as they were through ${dialect}`, async (context) => {
    const { proxy } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const schema = { type: 'object', properties: { ['__proto__']: { type: 'string' } } }
      const tool = dialect === 'anthropic' ? { name, input_schema: schema } : dialect === 'chat' ? { type: 'function', function: { name, parameters: schema } } : { type: 'function', name, parameters: schema }
      const said = `call ${name} {"__proto__":{"x":1}}`
      const more: JsonObject = dialect === 'responses' ? { input: said } : { messages: [{ role: 'user', content: said }] }
      const response = await proxy.fetch(new Request(`http://localhost${PATHS[dialect]}`, { method: 'POST', body: JSON.stringify(makeRequest(dialect, 'echo', { ...more, tools: [tool] })) }))
      const body = await response.text()
      strictEqual(response.status, 200, body)
      ok(body.includes(`"name":${JSON.stringify(name)}`), body)
      match(body, /"?__proto__\\*":\\*\{\\*"x\\*":1/)
    }
    strictEqual(({} as { x?: number }).x, undefined)
  })

  test(`hostile: objects and lists where ${dialect} has words are refused or carried, never a fault of ours`, async (context) => {
    const { proxy, records } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
    const trap: JsonObject = { toString: 'x', type: { toString: null }, constructor: 1, ['__proto__']: [] }
    const request = makeRequest(dialect, 'echo')
    for (const name of ['messages', 'input', 'system', 'instructions', 'tools', 'tool_choice', 'stop', 'stop_sequences', 'metadata', 'thinking', 'reasoning', 'text', 'response_format', 'stream_options', 'user', 'max_tokens', 'prompt_cache_key', 'previous_response_id', 'functions', 'model']) {
      for (const value of [trap, [trap], [[trap]], [{ role: trap, content: trap }], [{ role: 'user', content: [trap] }], [{ type: trap, name: trap, function: trap }]]) {
        const response = await proxy.fetch(new Request(`http://localhost${PATHS[dialect]}`, { method: 'POST', body: JSON.stringify({ ...request, [name]: value }) }))
        ok([200, 400, 404].includes(response.status), `${name}: ${response.status} ${await response.text()}\n${String((records.at(-1)?.cause as Error | undefined)?.stack)}`)
      }
    }
  })

  for (const depth of [1_000, 200_000]) {
    test(`hostile: JSON of ${depth} levels is answered or refused by ${dialect}, and dario goes on`, async (context) => {
      const { proxy, records } = await startProxy(context, { backends: { echo: { type: 'echo' } } })
      const request = makeRequest(dialect, 'echo')
      for (const [open, close] of [['[', ']'], ['{"a":', '}'], ['[{"content":', '}]'], ['{"type":"object","properties":{"a":', '}}']] as const) {
        const deep = `${open.repeat(depth)}1${close.repeat(depth)}`
        for (const name of ['messages', 'input', 'tools', 'metadata', 'system', 'extra']) {
          const { [name]: _, ...rest } = request
          const response = await proxy.fetch(new Request(`http://localhost${PATHS[dialect]}`, { method: 'POST', body: `${JSON.stringify(rest).slice(0, -1)},"${name}":${deep}}` }))
          ok([200, 400].includes(response.status), `${name} ${open}: ${response.status} ${await response.text()}\n${String((records.at(-1)?.cause as Error | undefined)?.stack)}`)
        }
      }
    })
  }
}

for (const trap of TRAPS) {
  test(`hostile: a backend cannot be called ${title(trap)}`, () => {
    let message = ''
    try {
      parseConfig(JSON.parse(`{"backends":{${JSON.stringify(trap)}:{"type":"echo"}}}`), {})
    } catch (error) {
      message = (error as Error).message
    }
    // A name of an object's member is only a name; everything else is no name.
    if (/^[a-z0-9][a-z0-9_-]*$/.test(trap)) strictEqual(message, '')
    else match(message, /backend name has/)
    ok(!/[\u0000-\u001f]/.test(message), JSON.stringify(message.slice(0, 100)))
  })
}

test('hostile: traps as arguments of the command line end with a sentence and touch nothing', async (context) => {
  const home = createHome(context)
  mkdirSync(join(home, 'inside'))
  writeFileSync(join(home, 'outside.json'), 'untouched')
  for (const args of [['backend', 'add', '../outside', '--type', 'echo'], ['backend', 'remove', '__proto__'], ['route', 'add', 'a\nb', '../x'], ['--config', 'inside', 'config', 'check']]) {
    const { code, stdout, stderr } = await runDario(context, home, args)
    ok(code === 1 || code === 2, `${JSON.stringify(args)} ended with ${code}: ${stdout}${stderr}`)
    ok(!/[\u0000-\u0009\u000b-\u001f]|\n {4}at /.test(stdout + stderr), JSON.stringify(stdout + stderr))
  }
  deepStrictEqual(readdirSync(home).filter((name) => !name.startsWith('.')).sort(), ['inside', 'outside.json'])
  ok(!existsSync(join(home, '.dario', 'config.json')))
})
