/**
 * The libraries that programs are built on, through the shim: they ask the vendors' own hosts, and nothing listens.
 */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildDario } from '../helpers/built.ts'
import { createHome, runDario } from '../helpers/command.ts'

const BUILT = buildDario()
const BODY = "{ model: 'echo:m', messages: [{ role: 'user', content: 'one two' }] }"
const URL_ = "'https://api.openai.com/v1/chat/completions'"
const JSON_POST = `{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(${BODY}) }`

/** Each prints one word list; the last word says whether anything listened. */
const CALLERS: Readonly<Record<string, readonly [imports: string, code: string, said: unknown]>> = {
  'openai: chat': ["import OpenAI from 'openai'", `say((await new OpenAI().chat.completions.create(${BODY})).choices[0].message.content)`, 'one two'],
  'openai: chat, streamed': ["import OpenAI from 'openai'", `let text = ''; for await (const { choices } of await new OpenAI().chat.completions.create({ ...${BODY}, stream: true })) text += choices[0]?.delta.content ?? ''; say(text)`, 'one two'],
  'openai: responses': ["import OpenAI from 'openai'", "say((await new OpenAI().responses.create({ model: 'echo:m', input: 'one two' })).output_text)", 'one two'],
  'openai: abort': ["import OpenAI from 'openai'", `const end = new AbortController(); const stream = await new OpenAI().chat.completions.create({ ...${BODY}, stream: true }, { signal: end.signal }); let n = 0; for await (const _ of stream) { n++; end.abort() } say(n < 4)`, true],
  '@anthropic-ai/sdk: messages': ["import Anthropic from '@anthropic-ai/sdk'", `say((await new Anthropic().messages.create({ max_tokens: 9, ...${BODY} })).content[0].text)`, 'one two'],
  '@anthropic-ai/sdk: messages, streamed': ["import Anthropic from '@anthropic-ai/sdk'", `say(await new Anthropic().messages.stream({ max_tokens: 9, ...${BODY} }).finalText())`, 'one two'],
  'AI SDK: anthropic': ["import { generateText } from 'ai'; import { anthropic } from '@ai-sdk/anthropic'", "say((await generateText({ model: anthropic('echo:m'), prompt: 'one two' })).text)", 'one two'],
  'AI SDK: openai, streamed': ["import { streamText } from 'ai'; import { openai } from '@ai-sdk/openai'", "let text = ''; for await (const part of streamText({ model: openai('echo:m'), prompt: 'one two' }).textStream) text += part; say(text)", 'one two'],
  'LangChain: openai': ["import { ChatOpenAI } from '@langchain/openai'", "say((await new ChatOpenAI({ model: 'echo:m' }).invoke('one two')).content)", 'one two'],
  'LangChain: anthropic, streamed': ["import { ChatAnthropic } from '@langchain/anthropic'", "let text = ''; for await (const part of await new ChatAnthropic({ model: 'echo:m' }).stream('one two')) text += part.text; say(text)", 'one two'],
  'node-fetch': ["import fetch from 'node-fetch'", `say((await (await fetch(${URL_}, ${JSON_POST})).json()).choices[0].message.content)`, 'one two'],
  'node-fetch: abort': ["import fetch from 'node-fetch'", `const end = new AbortController(); const answer = fetch(${URL_}, { ...${JSON_POST}, signal: end.signal }); end.abort(); say(await answer.catch((error) => error.name))`, 'AbortError'],
  'axios': ["import axios from 'axios'", `say((await axios.post(${URL_}, ${BODY}, { timeout: 5000 })).data.choices[0].message.content)`, 'one two'],
  'axios: streamed': ["import axios from 'axios'", `let text = ''; for await (const part of (await axios.post(${URL_}, { ...${BODY}, stream: true }, { responseType: 'stream' })).data) text += part; say(text.endsWith('[DONE]\\n\\n'))`, true],
  'got': ["import got from 'got'", `say((await got.post(${URL_}, { json: ${BODY}, timeout: { connect: 2000, secureConnect: 2000, socket: 5000, response: 5000 } }).json()).choices[0].message.content)`, 'one two'],
}

for (const [name, [imports, code, said]] of Object.entries(CALLERS)) {
  test(`shim: ${name}`, { timeout: 60_000 }, async (t) => {
    const home = createHome(t)
    mkdirSync(join(home, '.dario'), { mode: 0o700 })
    writeFileSync(join(home, '.dario', 'config.json'), '{}', { mode: 0o600 })
    const script = join(import.meta.dirname, `.shim-${process.pid}.mjs`) // beside node_modules
    writeFileSync(script, `${imports}\nconst say = (value) => console.log(JSON.stringify([value, process.getActiveResourcesInfo().some((one) => /Server/.test(one))]))\n${code}\n`)
    t.after(() => rmSync(script, { force: true }))
    const { code: exit, stdout, stderr } = await runDario(t, home, ['shim', '--', process.execPath, script], { built: BUILT })
    strictEqual(exit, 0, stderr)
    deepStrictEqual(JSON.parse(stdout), [said, false])
  })
}
