/**
 * The plan backend: the user's own `claude` program in headless mode, behind the Messages API. It finds the run that
 * holds a conversation or starts one, within a cap on processes and a bounded queue. Loopback callers only.
 * @module
 */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import type { Backend, Call, Signal, Upstream } from '../backends/backend.ts'
import { createBody } from '../backends/source.ts'
import type { BackendConfig } from '../config/types.ts'
import { DarioError, toDarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import { encodeFailure } from './answer.ts'
import { createBridge, encodeResult } from './bridge.ts'
import { createCheck } from './check.ts'
import type { PlanStatus } from './check.ts'
import { EMPTY_CHAIN, hashTurns } from './history.ts'
import { encodeLimits } from './limits.ts'
import type { PlanLimits, Told } from './limits.ts'
import { createPlace, findProgram, toEnvironment } from './program.ts'
import type { Environment } from './program.ts'
import { createQueue } from './queue.ts'
import { readRequest } from './request.ts'
import type { PlanRequest } from './request.ts'
import { createRun } from './run.ts'
import type { Input, Run, RunContext } from './run.ts'
import { encodeTranscript, isResult, quoteHistory } from './transcript.ts'
import type { Ask } from './turn.ts'

/** `warm` keeps one process ready for the last used system prompt and tools. */
type Configured = Pick<BackendConfig, 'command' | 'configDir' | 'env' | 'maxProcesses' | 'maxQueue' | 'warm'>

/** `startMs` is 30,000 by default. */
export interface PlanOptions extends Configured, Pick<RunContext, 'idleMs' | 'now' | 'log'>, Partial<Pick<RunContext, 'startMs'>> {
  id: string
  /** dario's own environment, of which an allow-list is passed on. */
  environment: Environment
  newId: (prefix: string) => string
  /** dario's version, told to the program as the name of its MCP server. */
  version: string
}

export interface PlanBackend extends Backend {
  check(): Promise<PlanStatus>
  /** As the program last reported them. */
  limits(): PlanLimits | undefined
}

/** Aliases: what they stand for changes, and so would their dates. */
const MODELS: JsonObject = {
  data: ['opus', 'sonnet', 'haiku'].map((id) => (
    { type: 'model', id, display_name: `Claude ${id} (plan)`, created_at: '2025-01-01T00:00:00Z' })),
  has_more: false, first_id: 'opus', last_id: 'haiku',
}

export function createPlanBackend(options: PlanOptions): PlanBackend {
  const { environment, command, now, log } = options
  const runs = new Set<Run>()
  const bridge = createBridge(options.version)
  const queue = createQueue(runs, options.maxProcesses, options.maxQueue)
  const env = toEnvironment(environment, options.configDir, options.env)
  const told: Told = { limits: undefined, models: new Map() }
  const shared = {
    startMs: 30_000, ...options, env, bridge, told, changed: queue.pump,
    secrets: Object.values(options.env), temp: environment['TMPDIR'] || tmpdir(),
  }
  let warming = Promise.resolve()
  let starting: Promise<unknown> = Promise.resolve()
  let closed = false

  function createContext(): RunContext {
    const file = findProgram(command, environment)
    if (file === undefined) {
      const what = command === undefined ? 'the claude program is not on PATH' : `${command} is not a program`
      const remedy = 'install Claude Code or set the backend\'s "command" to its full path'
      throw new DarioError('upstream_unreachable', `${what}; ${remedy}`)
    }
    return { ...shared, file, cwd: createPlace(environment, options.id) }
  }

  function refuseIfClosed(): void {
    if (closed) throw new DarioError('overloaded', 'dario is closing; try again when it is back')
  }

  /** A busy run, in `runs` for as long as its process lives. */
  async function start(request: PlanRequest, signal: Signal, transcript: string | undefined): Promise<Run> {
    const leave = await queue.enter(signal)
    try {
      refuseIfClosed()
      const created = createRun(createContext(), options.newId('run'), request, transcript)
      starting = created.then(() => {}, () => {}) // without the run, which would be kept
      const run = await created
      if (run.state === 'idle') run.state = 'busy'
      runs.add(run)
      if (closed || signal.aborted) void run.end('nobody waits for it')
      void run.over.then(() => {
        runs.delete(run)
        queue.pump()
      })
      signal.throwIfAborted()
      refuseIfClosed()
      return run
    } catch (cause) {
      if (cause instanceof DarioError) throw cause
      const sentence = `a run could not be prepared: ${(cause as Error).message}; check TMPDIR and ~/.dario`
      throw new DarioError('upstream_unreachable', sentence, { cause })
    } finally {
      leave()
    }
  }

  async function answer(request: PlanRequest, signal: Signal): Promise<Upstream> {
    const { turns, settings: { model }, stop, stream } = request
    const blocks = turns.at(-1)?.blocks ?? []
    const chains = hashTurns(turns)
    const dropped = toHeader(request.dropped)
    const headers: Record<string, string> = dropped === '' ? {} : { 'dario-dropped': dropped }
    const ask: Ask = { chain: chains.at(-1) ?? EMPTY_CHAIN, stop, stream, headers, signal }
    const live = pick(request.key, chains.at(-2) ?? EMPTY_CHAIN, blocks)
    // A client that went on from before a parked call without its result: nobody will bring it. One that has a run of its
    // own, or is only there yet, is another conversation with the same first words, such as the question for a title.
    const passed = live === undefined ? chains.slice(0, -1) : []
    for (const run of runs) if (run.state === 'parked' && passed.includes(run.before)) void run.end('its call was abandoned')
    let asked = await live?.run.ask(ask, live.input)
    if (asked !== undefined && 'upstream' in asked) return asked.upstream
    const resumed = turns.length > 1 || blocks.some(isResult)
    const transcript = resumed ? encodeTranscript(turns, told.models.get(model) ?? model, now(), randomUUID) : undefined
    asked = await (await start(request, signal, transcript)).ask(ask, resumed ? undefined : { blocks })
    // A refused transcript: once, never blindly again (L6).
    if ('gone' in asked && resumed) {
      log(`a transcript was refused (${asked.gone}); the history goes as quoted text`)
      const quoted = { ...ask, headers: { ...headers, 'dario-plan-history': 'quoted' } }
      asked = await (await start(request, signal, undefined)).ask(quoted, { blocks: quoteHistory(turns) })
    }
    if ('upstream' in asked) return asked.upstream
    refuseIfClosed()
    const sentence = `the claude program ended before it answered (${asked.gone}); run "dario doctor"`
    throw new DarioError('upstream_unreachable', sentence)
  }

  /** A live run that holds exactly this conversation and can be given the new turn as it is. */
  function pick(key: string, before: string, blocks: JsonObject[]): { run: Run; input: Input } | undefined {
    for (const run of runs) {
      if ((run.state !== 'idle' && run.state !== 'parked') || run.key !== key || run.chain !== before) continue
      const input = run.state === 'parked' ? toResults(run, blocks) : blocks.some(isResult) ? undefined : { blocks }
      if (input === undefined) continue
      run.state = 'busy'
      return { run, input }
    }
    return undefined
  }

  async function keepWarm(request: PlanRequest): Promise<void> {
    const spare = [...runs].filter((run) => run.state === 'idle' && run.chain === EMPTY_CHAIN)
    if (spare.some((run) => run.key === request.key) || queue.missing() >= spare.length) return
    await Promise.all(spare.map((run) => run.end('another prompt is kept warm')))
    const run = await start(request, new AbortController().signal, undefined)
    if (run.state === 'busy') run.state = 'idle'
    queue.pump() // whoever waits may have its place
  }

  async function reply(call: Call, signal: Signal): Promise<Upstream> {
    if (!call.loopback) throw new DarioError('permission', 'a Claude plan serves only its own machine; call dario over loopback')
    const path = call.path.split('?')[0]
    if (call.method === 'GET' && path === '/v1/models') return toUpstream(200, MODELS)
    if (call.method !== 'POST' || path !== '/v1/messages') {
      const sentence = `the plan has no ${call.method} ${path}; use /v1/messages`
      return toUpstream(404, encodeFailure('not_found_error', sentence))
    }
    const request = readRequest(call.body ?? '', call.model)
    const upstream = await answer(request, signal)
    if (options.warm && upstream.status === 200) warming = warming.then(() => keepWarm(request)).catch(() => {})
    return upstream
  }

  const endAll = (): Promise<unknown> => Promise.all([...runs].map((run) => run.end('dario closes')))

  return {
    id: options.id, type: 'claude-code', speaks: ['anthropic'], keys: [], host: undefined,
    async send(call, _key, signal) {
      signal.throwIfAborted()
      try {
        return await reply(call, signal)
      } catch (thrown) {
        const error = toDarioError(thrown)
        if (signal.aborted) throw signal.reason
        if (error.code === 'permission' || (error.status >= 500 && error.code !== 'overloaded')) throw error
        const type = error.code === 'overloaded' ? 'overloaded_error' : 'invalid_request_error'
        const more = error.details === undefined ? {} : { details: error.details as JsonObject }
        return toUpstream(error.status, encodeFailure(type, error.message, more), encodeLimits(told.limits))
      }
    },
    check: createCheck({ command, environment, env, now }),
    limits: () => told.limits,
    async close() {
      closed = true
      await endAll()
      await starting // at most one, which was being started meanwhile
      await endAll()
      await bridge.close()
    },
  }
}

/** The parked calls' results, if the turn brings exactly these and the bridge carries them whole. */
function toResults(run: Run, blocks: readonly JsonObject[]): Input {
  const results = new Map<string, JsonObject>()
  for (const block of blocks) {
    const result = isResult(block) ? encodeResult(block) : undefined
    if (result === undefined) return undefined
    results.set(String(block['tool_use_id']), result)
  }
  const exact = blocks.length === run.calls.length && run.calls.every((id) => results.has(id))
  return exact ? { results } : undefined
}

function toUpstream(status: number, body: JsonObject, headers: Record<string, string> = {}): Upstream {
  const bytes = Buffer.from(JSON.stringify(body))
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: createBody(bytes) }
}

/** A long conversation has a mark per turn: the header names the first of them and counts the rest. */
function toHeader(dropped: readonly string[]): string {
  const shown = dropped.slice(0, 40).map((path) => path.replace(/[^\x21-\x7e]/g, '?').slice(0, 100))
  return (dropped.length > shown.length ? [...shown, `+${dropped.length - shown.length}`] : shown).join(',')
}
