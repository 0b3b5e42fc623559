/**
 * One run: a child process that holds one conversation, asked turn after turn until it is idle too long or cannot
 * be trusted to hold what the client saw.
 * @module
 */
import { DarioError } from '../errors.ts'
import { toFields } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Bridge } from './bridge.ts'
import { startClaude } from './claude.ts'
import { EMPTY_CHAIN, callsOf, chainTurn } from './history.ts'
import { readLimits } from './limits.ts'
import type { Told } from './limits.ts'
import { removeFiles, toArguments, toRunEnvironment, writeFiles } from './program.ts'
import type { Environment } from './program.ts'
import type { PlanRequest } from './request.ts'
import { encodeContent, isResult } from './transcript.ts'
import { createTurn } from './turn.ts'
import type { Ask, Asked, Turn } from './turn.ts'

/** `result` comes a few milliseconds after the answer; without it the run is stuck. */
const SETTLE_MS = 5_000

/** What all runs of a backend share. */
export interface RunContext {
  /** A process without a request ends after this many ms; a parked call lives as long. */
  idleMs: number
  now: () => number
  log: (line: string) => void
  file: string
  env: Environment
  cwd: string
  temp: string
  secrets: string[]
  bridge: Bridge
  /** Milliseconds until the program must have printed its first line of a turn. */
  startMs: number
  told: Told
  /** The run's state changed: a place may be free. */
  changed(): void
}

/** A user turn for stdin, the results of the parked calls, or nothing where a transcript says it all. */
export type Input = { blocks?: JsonObject[]; results?: Map<string, JsonObject> } | undefined

export interface Run {
  readonly key: string
  /** `busy` is set by whoever picks the run, before anything is awaited. */
  state: 'busy' | 'idle' | 'parked' | 'over'
  /** Hash of the conversation that it holds, and of the same before its last answer. */
  chain: string
  before: string
  calls: readonly string[]
  usedAt: number
  ask(ask: Ask, input: Input): Promise<Asked>
  /** Resolves when the process has ended and its files are deleted. */
  readonly over: Promise<void>
  /** Kills the process; resolves with `over`. */
  end(reason: string): Promise<void>
}

/** Starts the program. With a transcript it begins to answer at once, so `ask` must follow without another wait. */
export async function createRun(
  context: RunContext, id: string, { settings, key }: PlanRequest, transcript: string | undefined,
): Promise<Run> {
  const { told, now } = context
  const { model, tools } = settings
  const resumes = transcript !== undefined
  const door = tools.length === 0 ? undefined : await context.bridge.open(tools)
  const folder = await writeFiles(context.temp, settings.system, door, transcript).catch((cause: unknown) => {
    door?.close()
    throw cause
  })
  const names = new Map(tools.map((tool) => [tool.sent, tool.name]))
  let open: Turn | undefined
  let timer: NodeJS.Timeout | undefined
  let settled = Promise.resolve()
  let settle = (): void => {}
  let spoiled = false
  const claude = startClaude({
    ...context, folder, args: toArguments(settings, folder, resumes), secrets: [...context.secrets, door?.bearer ?? ''],
    env: { ...toRunEnvironment(settings, folder, resumes), ...context.env },
  }, line)
  const over = claude.over.then(exit)
  const run: Run = { key, state: 'idle', chain: EMPTY_CHAIN, before: EMPTY_CHAIN, calls: [], usedAt: now(), ask, over, end }
  rest('idle')
  return run

  function line(message: JsonObject): void {
    told.limits = readLimits(message) ?? told.limits
    const named = message['subtype'] === 'init' ? message['model'] : undefined
    if (typeof named === 'string' && named !== model) told.models.set(model, named)
    if (run.state === 'over') return // what was still in the pipe: to read it slowly would keep the dead process
    if (open !== undefined) clearTimeout(timer) // it is alive: from here the caller's own deadlines count
    if (message['type'] === 'user' && answersItself(message)) spoiled = true
    if (run.state === 'parked' && (spoiled || message['type'] === 'result')) void end('it went on without a result')
    if (message['type'] === 'result' && open === undefined) settle()
    if (open !== undefined) advance(open, message)
    else if (message['type'] === 'stream_event') void end('the program went on by itself')
  }

  /** A tool unknown to the program, or an input that it refuses: its conversation is no longer the client's. */
  function answersItself(message: JsonObject): boolean {
    const content = toFields(message['message'])['content']
    const delivered = open === undefined ? [] : run.calls
    return Array.isArray(content) && content.map(toFields).some((block) =>
      isResult(block) && !delivered.includes(String(block['tool_use_id'])))
  }

  function advance(turn: Turn, message: JsonObject): void {
    const { answer } = turn
    if (message['type'] === 'result' && Array.isArray(message['errors']) && !answer.started) {
      turn.breakOff(message['errors'].join('; ')) // a transcript that it refuses, before any request
      return void end('it refused its start')
    }
    if (!turn.push(message)) claude.pause()
    if (answer.end?.type === 'failed') void end('the turn failed') // it would stay in the program's conversation
    if (answer.end?.type === 'whole') conclude(answer.blocks, answer.end.over)
  }

  function conclude(blocks: JsonObject[], ends: boolean): void {
    run.chain = chainTurn(run.before, { role: 'assistant', blocks })
    run.calls = callsOf(blocks)
    if (ends || spoiled) return void end('the program would go on by itself')
    open = undefined
    claude.resume()
    if (run.calls.length > 0) return rest('parked')
    settled = new Promise((resolve) => { settle = resolve })
    rest('idle')
  }

  function rest(state: 'idle' | 'parked'): void {
    run.state = state
    run.usedAt = now()
    clearTimeout(timer)
    timer = setTimeout(() => void end('idle'), context.idleMs).unref()
    claude.hold(false)
    context.changed()
  }

  async function ask(given: Ask, input: Input): Promise<Asked> {
    clearTimeout(timer)
    claude.hold(true)
    run.before = given.chain
    timer = setTimeout(() => void end('no result after the answer'), SETTLE_MS).unref()
    const left = (): void => void end('the client left')
    given.signal.addEventListener('abort', left)
    if (given.signal.aborted) left()
    await settled
    given.signal.removeEventListener('abort', left)
    clearTimeout(timer)
    if (run.state === 'over') return { gone: 'it ended while it waited for this turn' }
    const turn = open = createTurn(given, names, context, claude.resume, left)
    if (input?.blocks !== undefined) {
      claude.write({ type: 'user', message: { role: 'user', content: encodeContent(input.blocks) } })
    }
    for (const [id, result] of input?.results ?? []) door?.deliver(id, result)
    timer = setTimeout(() => {
      const silence = `the claude program printed nothing for ${context.startMs} ms; run "dario doctor"`
      turn.fail(new DarioError('upstream_timeout', silence))
      void end('silent')
    }, context.startMs).unref()
    return await turn.asked
  }

  function end(reason: string): Promise<void> {
    leave(`ends: ${reason}`)
    claude.kill()
    return over
  }

  async function exit(reason: string): Promise<void> {
    leave(`ended by itself: ${reason}`)
    door?.close()
    open?.breakOff(reason)
    await removeFiles(folder)
  }

  /** Nobody picks it from now on. */
  function leave(words: string): void {
    if (run.state !== 'over') context.log(`run ${id} ${words}`)
    run.state = 'over'
    clearTimeout(timer)
    settle()
  }
}
