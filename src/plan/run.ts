/**
 * One run: a child process that holds one conversation, asked turn after turn until it is idle too long or cannot
 * be trusted to hold what the client saw.
 * @module
 */
import { Readable } from 'node:stream'
import type { Signal, Upstream } from '../backends/backend.ts'
import { fromReadable } from '../backends/source.ts'
import { DarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import { createAnswer, encodeMessage } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Bridge, Door } from './bridge.ts'
import { startClaude } from './claude.ts'
import type { Claude, ClaudeEvents } from './claude.ts'
import { EMPTY_CHAIN, callsOf, chainTurn, isObject } from './history.ts'
import { encodeLimits, encodeRetryAfter, readLimits } from './limits.ts'
import type { PlanLimits } from './limits.ts'
import { removeFiles, toArguments, toRunEnvironment, writeFiles } from './program.ts'
import type { Settings } from './request.ts'
import { encodeContent } from './transcript.ts'

/** `result` comes a few milliseconds after the answer; without it the run is stuck. */
const SETTLE_MS = 5_000
const EVENTS = 'text/event-stream; charset=utf-8'

/** What all runs of a backend share. */
export interface RunContext {
  file: string
  env: Record<string, string>
  cwd: string
  temp: string
  secrets: string[]
  bridge: Bridge
  idleMs: number
  startMs: number
  now: () => number
  log(line: string): void
  limits(): PlanLimits | undefined
  /** The run's state changed: a place may be free. */
  changed(): void
  told(limits: PlanLimits): void
  /** The program's full name of the model that was asked for: `sonnet` is `claude-sonnet-…`. */
  named(asked: string, model: string): void
}

export interface Ask {
  /** Hash of the conversation with the user turn that is to be answered. */
  chain: string
  /** A user turn for stdin, the results of the parked calls, or nothing where a transcript says it all. */
  input: { blocks: JsonObject[] } | { results: Map<string, JsonObject> } | undefined
  stop: readonly string[]
  stream: boolean
  headers: Record<string, string>
  signal: Signal
}

/** `gone`: the program ended before the first event; nothing was spent and the turn may be asked elsewhere. */
export type Asked = { upstream: Upstream } | { gone: string }

export interface Run {
  readonly id: string
  readonly key: string
  /** `busy` is set by whoever picks the run, before anything is awaited. */
  state: 'busy' | 'idle' | 'parked' | 'over'
  /** Hash of the conversation that it holds, and of the same before its last answer. */
  chain: string
  before: string
  calls: readonly string[]
  usedAt: number
  ask(ask: Ask): Promise<Asked>
  /** Resolves when the process has ended and its files are deleted. */
  readonly over: Promise<void>
  /** Kills the process; resolves with `over`. */
  end(reason: string): Promise<void>
}

interface Open {
  ask: Ask
  answer: Answer
  body: Readable
  /** Settles `ask`; the first call counts. */
  resolve(asked: Asked): void
  reject(reason: unknown): void
}

/** Starts the program. With a transcript it begins to answer at once, so `ask` must follow without another wait. */
export async function createRun(
  context: RunContext, id: string, settings: Settings, key: string, transcript: string | undefined,
): Promise<Run> {
  const door = settings.tools.length === 0 ? undefined : await context.bridge.open(settings.tools)
  const files = await writeFiles(context.temp, settings.system, door, transcript)
  const names = new Map(settings.tools.map((tool) => [tool.sent, tool.name]))
  const made = { id, key, model: settings.model, door, names, folder: files.folder }
  return openRun(context, made, (events) => startClaude({
    file: context.file, args: toArguments(settings, files), cwd: context.cwd,
    env: { ...toRunEnvironment(settings, files), ...context.env }, folder: files.folder,
    secrets: [...context.secrets, door?.bearer ?? ''],
  }, events))
}

interface Made {
  id: string
  key: string
  model: string
  door: Door | undefined
  names: Map<string, string>
  folder: string
}

function openRun(context: RunContext, made: Made, start: (events: ClaudeEvents) => Claude): Run {
  let open: Open | undefined
  let timer: NodeJS.Timeout | undefined
  let settled = Promise.resolve()
  let settle = (): void => {}
  let cleaned = (): void => {}
  const over = new Promise<void>((resolve) => { cleaned = resolve })
  const delivered = new Set<string>()
  let spoiled = false
  const run: Run = {
    id: made.id, key: made.key, state: 'idle', chain: EMPTY_CHAIN, before: EMPTY_CHAIN, calls: [],
    usedAt: context.now(), ask, over, end,
  }
  const claude = start({ line, exit })
  rest('idle')
  return run

  function line(message: JsonObject): void {
    if (open !== undefined) clearTimeout(timer) // it is alive: from here the caller's own deadlines count
    const limits = message['type'] === 'rate_limit_event' ? readLimits(message) : undefined
    if (limits !== undefined) context.told(limits)
    const model = message['subtype'] === 'init' ? message['model'] : undefined
    if (typeof model === 'string') context.named(made.model, model)
    if (message['type'] === 'user' && answersItself(message)) spoiled = true
    if (spoiled && run.state === 'parked') void end('the program answered a call by itself')
    if (message['type'] === 'result' && open === undefined) settle()
    if (open !== undefined) advance(open, message)
    else if (message['type'] === 'stream_event') void end('the program went on by itself')
  }

  /** A tool unknown to the program, or an input that it refuses: its conversation is no longer the client's. */
  function answersItself(message: JsonObject): boolean {
    const content = isObject(message['message']) ? message['message']['content'] : undefined
    return Array.isArray(content) && content.some((block) =>
      isObject(block) && block['type'] === 'tool_result' && !delivered.has(String(block['tool_use_id'])))
  }

  function advance(turn: Open, message: JsonObject): void {
    if (message['type'] === 'result' && Array.isArray(message['errors']) && !turn.answer.started) {
      turn.resolve({ gone: message['errors'].join('; ') }) // a transcript that it refuses, before any request
      return void finish('it refused its start')
    }
    const waiting = !turn.answer.started
    const text = turn.answer.push(message)
    const end = turn.answer.end
    const streams = turn.ask.stream && turn.answer.started
    if (streams) {
      if (text !== '' && !turn.body.push(text)) claude.pause()
      if (waiting) turn.resolve({ upstream: { status: 200, headers: headersOf(turn, EVENTS), body: fromReadable(turn.body) } })
    }
    if (end === undefined) return
    if (end.type === 'whole') conclude(turn, end.over)
    else void finish('the turn failed')
    if (!streams) {
      const status = end.type === 'failed' ? end.status : 200
      turn.body.push(JSON.stringify(end.type === 'failed' ? end.body : encodeMessage(turn.answer)))
      const retry = status === 429 ? encodeRetryAfter(context.limits(), context.now()) : {}
      const headers = { ...headersOf(turn, 'application/json'), ...retry }
      turn.resolve({ upstream: { status, headers, body: fromReadable(turn.body) } })
    }
    turn.body.push(null)
  }

  function conclude(turn: Open, ends: boolean): void {
    const { blocks } = turn.answer
    run.chain = chainTurn(turn.ask.chain, { role: 'assistant', blocks })
    run.calls = callsOf(blocks)
    if (ends || spoiled) return void finish('the program would go on by itself')
    open = undefined
    claude.resume()
    if (run.calls.length > 0) return rest('parked')
    settled = new Promise((resolve) => { settle = resolve })
    rest('idle')
  }

  /** A failed turn would stay in the program's conversation: the run ends, its answer still goes out. */
  function finish(reason: string): Promise<void> {
    open = undefined
    return end(reason)
  }

  function rest(state: 'idle' | 'parked'): void {
    run.state = state
    run.usedAt = context.now()
    clearTimeout(timer)
    timer = setTimeout(() => void end('idle'), context.idleMs).unref()
    context.changed()
  }

  function headersOf(turn: Open, type: string): Record<string, string> {
    return { 'content-type': type, ...encodeLimits(context.limits()), ...turn.ask.headers }
  }

  async function ask(given: Ask): Promise<Asked> {
    clearTimeout(timer)
    run.before = given.chain
    timer = setTimeout(() => void end('no result after the answer'), SETTLE_MS).unref()
    await settled
    clearTimeout(timer)
    if (isOver()) return { gone: 'it ended while it waited for this turn' }
    if (given.signal.aborted) {
      void end('the client left')
      throw given.signal.reason
    }
    return await new Promise<Asked>((resolve, reject) => {
      const leave = (): void => void end('the client left')
      const body = new Readable({
        read: () => claude.resume(),
        destroy(error, done) {
          if (open?.body === body) leave()
          done(error)
        },
      })
      body.on('error', () => {}) // it may break before anyone listens; whoever reads later is still told
      open = { ask: given, answer: createAnswer(given.stop, made.names), body, resolve, reject }
      given.signal.addEventListener('abort', () => {
        if (open?.body !== body) return
        open = undefined
        reject(given.signal.reason)
        body.destroy(given.signal.reason instanceof Error ? given.signal.reason : undefined)
        leave()
      }, { once: true })
      send(given.input)
    })
  }

  function isOver(): boolean {
    return run.state === 'over'
  }

  function send(input: Ask['input']): void {
    if (input !== undefined && 'results' in input) {
      for (const [id, result] of input.results) {
        delivered.add(id)
        made.door?.deliver(id, result)
      }
      return
    }
    if (input !== undefined) {
      claude.write({ type: 'user', message: { role: 'user', content: encodeContent(input.blocks) } })
    }
    timer = setTimeout(() => {
      const silence = `the claude program printed nothing for ${context.startMs} ms; run "dario doctor"`
      open?.reject(new DarioError('upstream_timeout', silence))
      void finish('silent at its start')
    }, context.startMs).unref()
  }

  function end(reason: string): Promise<void> {
    if (run.state !== 'over') context.log(`run ${run.id} ends: ${reason}`)
    run.state = 'over'
    clearTimeout(timer)
    settle()
    claude.kill()
    return over
  }

  function exit(reason: string): void {
    if (run.state !== 'over') context.log(`run ${run.id} ended by itself: ${reason}`)
    run.state = 'over'
    clearTimeout(timer)
    settle()
    made.door?.close()
    if (open !== undefined) breakOff(open, reason)
    open = undefined
    void removeFiles(made.folder).then(() => {
      cleaned()
      context.changed()
    })
  }

  function breakOff(turn: Open, reason: string): void {
    const words = claude.lastWords()
    const why = words === '' ? reason : `${reason}: ${words}`
    if (!turn.answer.started) return turn.resolve({ gone: why })
    const sentence = `the claude program ended in mid-answer (${why}); send the request again`
    const error = new DarioError('upstream_unreachable', sentence)
    turn.reject(error)
    turn.body.destroy(error)
  }
}
