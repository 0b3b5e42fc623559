/**
 * A stand-in for the `claude` program: an executable that plays its line protocol and talks to the MCP bridge, told by
 * the user's text what to do, and records what it was given. It behaves as version 2.1.330 was seen to.
 * @module
 */
import { deepStrictEqual } from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { JsonObject } from '../../src/hub/types.ts'
import { withDeadline } from './deadline.ts'
import { until } from './until.ts'

export interface Scenario {
  /** What `--version` prints; default `2.1.330 (Claude Code)`. */
  version?: string
  loggedIn?: boolean
  /** Ends at once with this code and these words on stderr. */
  exit?: { code: number; words: string }
  /** Prints nothing, ever. */
  hang?: boolean
  /** Prints what is not JSON before and between its lines. */
  garbage?: boolean
  /** Does not know any transcript. */
  refuseResume?: boolean
}

export interface FakeClaude {
  command: string
  /** HOME and TMPDIR of the test; deleted with it. */
  folder: string
  /** What every process recorded, in order: `start`, `line`, `transcript`, `request`, `result`, `wrong`, `end`. */
  records(kind?: string): (JsonObject & { kind: string; pid: number })[]
}

/** @param close ends what the test started; afterwards no process and no file of it may be left */
export async function installFakeClaude(context: TestContext, scenario: Scenario = {}, close?: () => Promise<void>): Promise<FakeClaude> {
  const folder = realpathSync(await mkdtemp(join(tmpdir(), 'dario-test-')))
  context.after(async () => {
    try {
      if (close !== undefined) await judgeEnd(close, fake)
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  })
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'tmp'))
  const command = join(folder, 'bin', 'claude')
  writeFileSync(join(folder, 'scenario.json'), JSON.stringify(scenario))
  writeFileSync(command, `#!${process.execPath}\n${PROGRAM}`, { mode: 0o755 })
  const file = join(folder, 'records.jsonl')
  const fake: FakeClaude = {
    command,
    folder,
    records(kind) {
      const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
      const all = text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as JsonObject & { kind: string; pid: number })
      return kind === undefined ? all : all.filter((record) => record.kind === kind)
    },
  }
  return fake
}

async function judgeEnd(close: () => Promise<void>, { folder, records }: FakeClaude): Promise<void> {
  await withDeadline(close(), 20_000, 'the close')
  await until(() => records('start').every(({ pid }) => !isAlive(pid)))
  deepStrictEqual(readdirSync(join(folder, 'tmp')), [])
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const PROGRAM = String.raw`
const fs = require('node:fs'), path = require('node:path'), http = require('node:http')
const home = path.join(__dirname, '..')
const scenario = JSON.parse(fs.readFileSync(path.join(home, 'scenario.json'), 'utf8'))
const record = (kind, more) => fs.appendFileSync(path.join(home, 'records.jsonl'), JSON.stringify({ kind, pid: process.pid, ...more }) + '\n')
const argv = process.argv.slice(2)
const option = (name) => argv[argv.indexOf(name) + 1]
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const event = (event, more) => print({ type: 'stream_event', event, parent_tool_use_id: null, uuid: 'x', ...more })

if (argv[0] === '--version') { record('version'); console.log(scenario.version ?? '2.1.330 (Claude Code)'); process.exit(0) }
if (argv[0] === 'auth') {
  const loggedIn = scenario.loggedIn ?? true
  console.log(JSON.stringify({ loggedIn, authMethod: loggedIn ? 'claude.ai' : 'none' }))
  process.exit(loggedIn ? 0 : 1)
}
const mcpFile = option('--mcp-config')
record('start', {
  argv, env: process.env, cwd: process.cwd(), cwdEntries: fs.readdirSync(process.cwd()),
  system: fs.readFileSync(option('--system-prompt-file'), 'utf8'), mcp: JSON.parse(fs.readFileSync(mcpFile, 'utf8')),
  modes: [mcpFile, option('--system-prompt-file')].map((file) => fs.statSync(file).mode & 0o777),
})
process.on('exit', (code) => record('end', { code }))
if (scenario.exit) { process.stderr.write(scenario.exit.words + '\n'); process.exit(scenario.exit.code) }
fs.writeFileSync(path.join(process.env.TMPDIR, 'left-behind'), 'x')
if (scenario.garbage) process.stdout.write('Warning: something {not json\n[1]\n\n"text"\n')

const turns = []
let requests = 0, answering = false
const server = JSON.parse(fs.readFileSync(mcpFile, 'utf8')).mcpServers.dario

function rpc(method, params, id = 1) {
  return new Promise((resolve, reject) => {
    const request = http.request(server.url, { method: 'POST', headers: { ...server.headers, 'content-type': 'application/json' }, agent: false }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: response.statusCode, ...(text ? JSON.parse(text) : {}) })
      }).on('error', reject)
    })
    request.on('error', reject)
    request.end(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
  })
}

async function start() {
  if (server) {
    await rpc('server/discover', {})
    await rpc('initialize', { protocolVersion: '2025-11-25' })
    const listed = await rpc('tools/list', {})
    record('tools', { tools: listed.result.tools })
  }
  if (argv.includes('--resume')) {
    const text = fs.readFileSync(option('--resume'), 'utf8')
    record('transcript', { lines: text.split('\n').filter(Boolean).map((line) => JSON.parse(line)) })
    if (scenario.refuseResume) {
      print({ type: 'result', subtype: 'error_during_execution', is_error: true, errors: ['No conversation found with session ID: x'] })
      process.stderr.write('No conversation found with session ID: x\n')
      process.exit(1)
    }
    for (const line of text.split('\n').filter(Boolean)) turns.push(JSON.parse(line).message)
    if (process.env.CLAUDE_CODE_RESUME_INTERRUPTED_TURN === '1') await turn()
  }
}

const usage = { input_tokens: 10, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, output_tokens: 1 }
function begin() {
  requests++
  record('request', { turns: turns.length, last: turns[turns.length - 1].content })
  event({ type: 'message_start', message: { id: 'msg_' + process.pid + '_' + requests, type: 'message', role: 'assistant', model: option('--model'), content: [], stop_reason: null, stop_sequence: null, usage } })
}
function block(index, content_block, deltas) {
  event({ type: 'content_block_start', index, content_block })
  for (const delta of deltas) event({ type: 'content_block_delta', index, delta })
  event({ type: 'content_block_stop', index })
}
const text = (index, words) => block(index, { type: 'text', text: '' }, words.match(/[^]{1,4}/g).map((text) => ({ type: 'text_delta', text })))
function finish(stop_reason) {
  event({ type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 7 } })
  if (stop_reason === 'max_tokens') return
  event({ type: 'message_stop' })
}
async function result(more) {
  await sleep(15)
  answering = false
  print({ type: 'result', subtype: 'success', is_error: false, ...more })
}
async function fail(status, type, error, message, more) {
  turns.push({ role: 'assistant', content: 'failed' })
  print({ type: 'assistant', message: { model: '<synthetic>', role: 'assistant', content: [{ type: 'text', text: message }] }, error, is_api_error_message: true, api_error_status: status, api_error_type: type, ...more })
  await result({ is_error: true, api_error_status: status })
}

async function turn() {
  if (answering) record('wrong', { why: 'a line came before the result' })
  answering = true
  print({ type: 'system', subtype: 'init', tools: [] })
  if (scenario.hang) return
  const last = turns[turns.length - 1].content
  const said = last.filter((part) => part.type === 'text' && part.text !== '').map((part) => part.text).join(' ')
  if (said.startsWith('/') && last[last.length - 1].text !== '') {
    print({ type: 'assistant', message: { model: '<synthetic>', content: [{ type: 'text', text: "/help isn't available" }] } })
    return result()
  }
  const [word, ...rest] = said.split(' ')
  switch (word) {
    case 'call': return call(said)
    case '529': return fail(529, 'overloaded_error', 'server_error', 'API Error: 529 Overloaded')
    case '400': return fail(400, 'invalid_request_error', 'unknown', 'Prompt is too long')
    case '401': return fail(undefined, undefined, 'authentication_failed', 'Not logged in')
    case '429':
      print({ type: 'rate_limit_event', rate_limit_info: { status: 'rejected', resetsAt: 2000, rateLimitType: 'five_hour', unifiedWindows: { five_hour: { utilization: 1, resetsAt: 2000, status: 'rejected' }, seven_day: { utilization: 0.4, resetsAt: 9000, status: 'allowed' } } } })
      return fail(429, 'rate_limit_error', 'rate_limit', 'You have hit your limit', { api_error: 'usage_limit_reached' })
    case 'itself':
      print({ type: 'assistant', message: { model: '<synthetic>', content: [{ type: 'text', text: 'local answer' }] } })
      return result()
    case 'crash': begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }); await sleep(20); process.stderr.write('boom sk-ant-secret-value-1234\n'); process.exit(7)
    case 'mutter':
      process.stderr.write('boom sk-ant-oat01-abcd'); await sleep(50); process.stderr.write('efghijkl\n'); process.exit(7)
    case 'deep': begin()
      block(0, { type: 'tool_use', id: 'toolu_deep', name: 'mcp__dario__get', input: {} }, [{ type: 'input_json_delta', partial_json: '{"a":' + '['.repeat(20000) + ']'.repeat(20000) + '}' }])
      return finish('tool_use')
    case 'abyss': begin()
      process.stdout.write('{"type":"stream_event","event":{"type":"content_block_start","index":0,"content_block":{"type":"text","a":' + '['.repeat(20000) + ']'.repeat(20000) + '}}}\n')
      return
    case 'burst': return fail(429, 'rate_limit_error', 'rate_limit', 'Number of requests has exceeded your limit')
    case 'heir': case 'runaway':
      begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
      record('heir', { pid: require('node:child_process').spawn('sleep', ['60'], { stdio: 'inherit', detached: word === 'runaway' }).pid })
      process.exit(7)
    case 'chatter':
      begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
      record('heir', { pid: require('node:child_process').spawn('/bin/sh', ['-c', 'while echo x; do sleep 0.2; done'], { stdio: 'inherit', detached: true }).pid })
      process.exit(7)
    case 'cut':
      begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
      await fail(undefined, undefined, 'unknown', 'the connection broke', { api_error: 'connection_failed' })
      return
    case 'wait': begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }); return
    case 'unsettled': begin(); text(0, 'all but its result'); return finish('end_turn')
    case 'max': begin(); text(0, 'half an ans'); return finish('max_tokens') // it is not over by itself: it would ask again
    case 'flood': begin(); event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
      for (let sent = 0; sent < 20000; sent++) {
        const line = JSON.stringify({ type: 'stream_event', event: { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(1000) } } }) + '\n'
        if (!process.stdout.write(line)) { record('flood', { sent }); await new Promise((resolve) => process.stdout.once('drain', resolve)) }
      }
      event({ type: 'content_block_stop', index: 0 }); finish('end_turn'); return result()
  }
  begin()
  const words = word === 'say' ? rest.join(' ') : turns.length + ': ' + said
  block(0, { type: 'thinking', thinking: '', signature: '' }, [{ type: 'thinking_delta', thinking: 'hm' }, { type: 'signature_delta', signature: 'c2ln' }])
  if (scenario.garbage) process.stdout.write('more {garbage\n')
  text(1, words)
  turns.push({ role: 'assistant', content: [{ type: 'text', text: words }] })
  finish('end_turn')
  print({ type: 'rate_limit_event', rate_limit_info: { status: 'allowed', resetsAt: 5000, unifiedWindows: { five_hour: { utilization: 0.25, resetsAt: 5000 }, seven_day: { utilization: 0.5, resetsAt: 9000 } } } })
  await result()
}

/** "call get {..}; call put {..}": parallel calls in one answer, then one more request with their results. */
async function call(said) {
  begin()
  const calls = said.split(';').map((part, index) => {
    const [, name, ...input] = part.trim().split(' ')
    return { id: 'toolu_' + process.pid + '_' + requests + '_' + index, name, input: input.join(' ') || '{}' }
  })
  for (const [index, { id, name, input }] of calls.entries()) {
    block(index, { type: 'tool_use', id, name: 'mcp__dario__' + name, input: {} }, input.match(/[^]{1,5}/g).map((partial_json) => ({ type: 'input_json_delta', partial_json })))
  }
  turns.push({ role: 'assistant', content: calls.map(({ id, name, input }) => ({ type: 'tool_use', id, name, input: JSON.parse(input) })) })
  finish('tool_use')
  if (said.includes('"giveUp"')) return result()
  await sleep(5)
  const results = await Promise.all(calls.map(async ({ id, name, input }) => {
    if (name === 'unknown' || input.includes('"bad"')) {
      const content = [{ type: 'text', text: 'refused by the program' }]
      print({ type: 'user', message: { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content, is_error: true }] } })
      return { content }
    }
    const answer = await rpc('tools/call', { name, arguments: JSON.parse(input), _meta: { 'claudecode/toolUseId': id } }, id)
    if (!answer.result) process.exit(9)
    return answer.result
  }))
  if (said.includes('"freeze"')) return
  const content = results.map((result, index) => ({ type: 'tool_result', tool_use_id: calls[index].id, content: result.content, is_error: result.isError }))
  for (const part of content) print({ type: 'user', message: { role: 'user', content: [part] } })
  record('results', { sizes: content.map((part) => JSON.stringify(part.content).length), content: JSON.stringify(content).length < 2000 ? content : null })
  turns.push({ role: 'user', content })
  begin()
  const words = 'got ' + results.map((result) => result.content.map((part) => part.type === 'text' ? part.text.slice(0, 40) : part.type).join('+')).join(' and ')
  text(0, words)
  turns.push({ role: 'assistant', content: [{ type: 'text', text: words }] })
  finish('end_turn')
  await result()
}

let tail = ''
process.stdin.setEncoding('utf8').on('data', (chunk) => {
  const lines = (tail + chunk).split('\n')
  tail = lines.pop()
  for (const line of lines) {
    const { message } = JSON.parse(line)
    record('line', { content: message.content })
    void started.then(() => { turns.push(message); return turn() })
  }
}).on('end', () => { if (!answering) process.exit(0) })
const started = scenario.hang ? new Promise(() => {}) : start()
`
