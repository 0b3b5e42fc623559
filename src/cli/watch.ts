/**
 * `dario watch`: the dashboard's live view in a terminal, asked from the running dario (pitfall W12). In a pipe it is
 * one line per request as it ends.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { LiveRequest, LiveState, Totals } from '../observe/live.ts'
import { toLocalDay } from '../observe/usage.ts'
import { createSseDecoder } from '../sse.ts'
import { readBaseUrl } from '../config/values.ts'
import { loadConfig, toAccessKey, toUrl } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'
import type { Output, Style } from './output.ts'

const ENDS: Record<LiveRequest['end'], Style> = { running: 'cyan', complete: 'green', cancelled: 'dim', failed: 'red', broken: 'red' }
const PATIENCE = 5_000 // ms until a program that is no dario has said so by its silence
const MOST_ERRORS = 3
const MOVE_HOME = '\u001b[H', CLEAR_LINE = '\u001b[K', CLEAR_BELOW = '\u001b[J', OTHER_SCREEN = '\u001b[?1049h\u001b[?25l', OWN_SCREEN = '\u001b[?1049l\u001b[?25h'

export const watch: Command = async (context) => {
  const { output, values } = context
  const url = values['url'] === undefined ? toUrl(loadConfig(context).config) : readBaseUrl(values['url'], '--url')
  const isScreen = process.stdout.isTTY === true
  let seen = new Set<string>()
  let state: LiveState | undefined
  function draw(): void {
    if (state === undefined) return
    // A terminal may report no size, or one that is gone a moment later (pitfall W11).
    const screen = { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24, style: output.style }
    process.stdout.write(`${MOVE_HOME}${renderScreen(state, screen).join(`${CLEAR_LINE}\n`)}${CLEAR_LINE}${CLEAR_BELOW}`)
  }
  function printNew({ requests }: LiveState): void {
    const ended = requests.filter(({ end }) => end !== 'running')
    for (const request of ended.filter(({ id }) => !seen.has(id)).reverse()) output.line(renderLine(request))
    seen = new Set(ended.map(({ id }) => id)) // not of all time: nobody ends a pipe
  }
  const leave = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => leave.abort())
  if (isScreen) process.stdout.write(OTHER_SCREEN)
  process.stdout.on('resize', draw)
  try {
    for await (const next of follow(context, url, leave.signal)) {
      state = next
      if (isScreen) draw()
      else printNew(next)
    }
    return 0
  } catch (error) {
    if (leave.signal.aborted) return 0
    throw error
  } finally {
    process.stdout.off('resize', draw)
    if (isScreen) process.stdout.write(OWN_SCREEN)
  }
}

async function* follow(context: CommandContext, url: string, signal: AbortSignal): AsyncGenerator<LiveState> {
  const response = await ask(context, url, signal, 'GET', `nothing answers at ${url}; start dario there, or name the place with --url or --port`)
  if (!response.ok || response.body === null) throw new DarioError('upstream_error', `${url} answers ${response.status}; is it a dario of this version?`)
  const events = createSseDecoder()
  const decoder = new TextDecoder()
  try {
    for await (const bytes of response.body) {
      for (const { data } of events.push(decoder.decode(bytes, { stream: true })).slice(-1)) yield JSON.parse(data) as LiveState
    }
  } catch { /* it was killed, or its machine is gone */ }
  const ended = `dario at ${url} has ended`
  await ask(context, url, signal, 'HEAD', ended) // it may be there, and our access key is not any more
  throw new DarioError('upstream_unreachable', ended)
}

/** @throws DarioError `upstream_unreachable` with `silent` for its message, `authentication` */
async function ask({ environment }: CommandContext, url: string, signal: AbortSignal, method: string, silent: string): Promise<Response> {
  const key = toAccessKey(environment)
  const headers = key ? { authorization: `Bearer ${key}` } : {}
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), PATIENCE)
  const either = AbortSignal.any([signal, late.signal])
  const response = await fetch(`${url}/events`, { method, headers, signal: either, redirect: 'error' }).finally(() => clearTimeout(timer)).catch(() => {
    throw new DarioError('upstream_unreachable', silent)
  })
  if (response.status !== 401) return response
  const remedy = key ? 'does not know the access key in DARIO_ACCESS_KEY; dario key add NAME makes another' : 'asks for an access key; put one into DARIO_ACCESS_KEY'
  throw new DarioError('authentication', `dario at ${url} ${remedy}`)
}

/** Never more lines than rows, never a line wider than the terminal, whatever its size. */
export function renderScreen(state: LiveState, { columns, rows, style }: { columns: number; rows: number; style: Output['style'] }): string[] {
  const width = Math.max(1, columns)
  const cut = (text: string): string => text.length > width ? `${text.slice(0, width - 1)}…` : text
  const total = (name: keyof Totals): number => state.hours.reduce((sum, one) => sum + one[name], 0)
  const resting = state.backends.flatMap(({ keys }) => keys).filter((key) => key.state !== 'ready')
  const windows = state.backends.flatMap(({ id, windows = [] }) => windows.map(({ name, used, resetsAt }) => (
    `${id}: ${Math.round(used * 100)} % of ${name} used${resetsAt ? ` until ${toLocalDay(resetsAt)} ${clock(resetsAt)}` : ''}`)))
  const errors = state.errors.slice(0, MOST_ERRORS).map(({ time, status, error }) => (
    `${clock(time)} ${status} ${error === undefined ? '' : `${error.code}: ${error.message}`}`))
  const lines = [
    style('bold', cut(plain(`dario ${state.version}  ${state.running} running`))),
    cut(renderTotals(total)),
    ...(state.sources.length === 0 ? [] : [cut(plain(`24 h: about $${total('dollars').toFixed(2)}; prices: ${state.sources.join('; ')}`))]),
    ...resting.map(({ label, state, reason, until = 0 }) => style('yellow', cut(plain(`${label} ${state}, ${reason} until ${clock(until)}`)))),
    ...windows.map((text) => cut(plain(text))),
    ...errors.map((text) => style('red', cut(plain(text)))),
    '',
    style('dim', cut(toColumns(width, 'TIME', 'STATUS', 'MODEL', 'BACKEND', 'FIRST', 'TOTAL', 'T/S', 'TOOL'))),
    ...state.requests.map((request) => style(ENDS[request.end], cut(toColumns(width, ...cells(request))))),
  ]
  return lines.slice(0, Math.max(1, rows))
}

function cells(request: LiveRequest): string[] {
  const { time, end, status, model, firstByteMs, totalMs, tokensPerSecond, tool = '' } = request
  return [
    clock(time), end === 'complete' || end === 'failed' ? String(status) : end, plain(model), plain(request.key ?? request.backend ?? ''),
    firstByteMs === undefined ? '' : seconds(firstByteMs), seconds(totalMs), tokensPerSecond === undefined ? '' : `${end === 'running' ? '~' : ''}${tokensPerSecond.toFixed(0)}`, plain(tool),
  ]
}

/** Fixed columns, so that nothing jumps; the model takes what is left, and on a narrow screen the last ones go. */
function toColumns(width: number, ...[time = '', status = '', model = '', backend = '', first = '', total = '', speed = '', tool = '']: string[]): string {
  const isWide = width >= 100
  const room = Math.max(8, width - (isWide ? 79 : 41))
  const pad = (text: string, size: number): string => text.length > size ? `${text.slice(0, size - 1)}…` : text.padEnd(size)
  const start = `${time.padEnd(8)} ${pad(status, 9)} ${pad(model, room)} ${pad(backend, isWide ? 16 : 12)}`
  return isWide ? `${start} ${first.padStart(7)} ${total.padStart(7)} ${speed.padStart(5)}  ${pad(tool, 20)}` : `${start} ${total.padStart(8)}`
}

function renderTotals(total: (name: keyof Totals) => number): string {
  const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
  const input = total('input') + total('cacheRead') + total('cacheWrite')
  const cached = input > 0 ? ` (${Math.round(total('cacheRead') / input * 100)} % cached)` : ''
  return `24 h: ${total('requests')} requests, ${total('failed')} failed, ${compact.format(input)} in${cached}, ${compact.format(total('output'))} out`
}

function renderLine(request: LiveRequest): string {
  const [time = '', status = '', ...rest] = cells(request)
  const { usage, error, dropped } = request
  const tokens = usage === undefined ? '' : `${(usage.input ?? 0) + (usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0)} in ${usage.output ?? 0} out`
  const more = [tokens, error && `${error.code}: ${cleanText(error.message)}`, dropped.length > 0 && `dropped ${cleanText(dropped.join(','))}`]
  return [time, status, ...rest.slice(0, 2), rest[3], ...more].filter(Boolean).join('  ')
}

/** Of one column per character, which nobody can tell of the others. */
function plain(name: string): string {
  return cleanText(name).replace(/[^\x20-\x7e]/g, '?')
}

function clock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8)
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`
}
