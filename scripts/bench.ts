/**
 * Measures dario against the plainest proxy that Node can be: processor time of the proxy process, in interleaved
 * rounds of one run, with every answer checked for completeness.
 *
 *     npm run bench -- [--rows small,burst] [--rounds 5] [--seconds 2] [--json] [--write]
 *
 * `--write` puts the table into the README; it wants all rows.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measurePlan } from './bench/plan.ts'
import { measurePool } from './bench/pool.ts'
import { createWorkshop, ROOT } from './bench/processes.ts'
import type { Measured, Workshop } from './bench/processes.ts'
import { MEMORY_GOAL_MB, PACKAGE_GOAL_KB, PLAN_GOAL_MS, POOL_GOAL, printTable, ROWS, START_GOAL_MS } from './bench/rows.ts'
import type { Line, Row } from './bench/rows.ts'
import { replaceSection } from './check/documents.ts'
import { readHouse } from './check/rules.ts'
import { CEILING } from './house.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false }, write: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const duration = Number(values.seconds) * 1000
const WARM_UP = 3000

const names = [...ROWS.map(({ name }) => name), 'pool', 'plan', 'memory', 'start', 'package', 'lines']
const wanted = values.rows?.split(',') ?? names
const unknown = wanted.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  console.error(`no row is called ${unknown.join(', ')}; rows: ${names.join(', ')}`)
  process.exit(2)
}
const say = (text: string): void => { if (!values.json) console.error(text) }
const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

function makeConfig(upstream: string, more: object = {}): string {
  return JSON.stringify({
    backends: { bench: { type: 'anthropic', baseUrl: upstream, keys: ['bench-key-not-a-secret'] } },
    routes: [{ model: 'bench-*', to: ['bench'] }], ...more,
  })
}

/** Microseconds of the proxy per unit in one round. */
async function measure(shop: Workshop, row: Row, proxy: Measured, ms: number): Promise<number> {
  const before = await proxy.read()
  const result = await shop.load({ url: proxy.url, shape: row.shape, dialect: row.dialect, connections: row.connections, duration: ms })
  const after = await proxy.read()
  return (after.cpu - before.cpu) / result[row.per]
}

/** What one round lasts for this row (ms), how many there are, and of how many processes each. */
function plan(row: Row): { ms: number; times: number; processes: number } {
  // Slow streams take ten seconds each, so three rounds are as much measurement as five of the others; a median of two
  // would be the worse of both.
  if (row.shape === 'slow') return { ms: duration, times: 3, processes: 1 }
  // What watching costs is less than two processes of the same program differ by, and less than what the machine's
  // neighbours change from one second to the next: several of each, by turns that are short.
  if (row.base === 'quiet') return { ms: duration / 5, times: 15 * rounds, processes: 3 }
  return { ms: duration, times: rounds, processes: 1 }
}

async function measureRow(shop: Workshop, row: Row, bases: readonly Measured[], darios: readonly Measured[]): Promise<Line> {
  say(`${row.name} ...`)
  const all = [...bases, ...darios]
  for (const proxy of all) await measure(shop, row, proxy, WARM_UP)
  const { ms, times } = plan(row)
  const pairs: [number, number][] = []
  for (let round = 0; round < times; round++) {
    const costs = new Map<Measured, number>()
    for (const proxy of round % 2 === 0 ? all : all.toReversed()) costs.set(proxy, await measure(shop, row, proxy, ms))
    const mean = (some: readonly Measured[]): number => some.reduce((sum, proxy) => sum + costs.get(proxy)!, 0) / some.length
    pairs.push([mean(bases), mean(darios)])
  }
  const ratio = median(pairs.map(([one, other]) => other / one))
  const show = (index: 0 | 1): string => {
    const value = median(pairs.map((pair) => pair[index]))
    return row.per === 'requests' ? `${value.toFixed(0)} µs` : `${value.toFixed(2)} ms`
  }
  return {
    name: row.name, title: row.title, base: `${show(0)} (${row.base})`, dario: show(1),
    goal: `${row.goal} ${row.base}s`, reached: ratio.toFixed(2), met: ratio <= row.goal,
  }
}

/** Resident memory in the middle of 500 open streams, in processes that did nothing before. */
async function measureMemory(shop: Workshop, start: (name: string) => Promise<Measured>): Promise<Line> {
  say('memory ...')
  const megabytes: number[] = []
  for (const name of ['pipe', 'dario']) {
    const proxy = await start(name)
    const load = shop.load({ url: proxy.url, shape: 'slow', dialect: 'anthropic', connections: 500, duration: 0 })
    await new Promise((resolve) => setTimeout(resolve, 7000)) // the streams last ten seconds
    megabytes.push((await proxy.read()).rss / 1e6)
    await load
    await proxy.stop()
  }
  const [base = NaN, dario = NaN] = megabytes
  return {
    name: 'memory', title: 'resident memory at 500 slow streams', base: `${base.toFixed(0)} MB (pipe)`, dario: `${dario.toFixed(0)} MB`,
    goal: `${MEMORY_GOAL_MB} MB`, reached: `${dario.toFixed(0)} MB`, met: dario <= MEMORY_GOAL_MB,
  }
}

/** Processor time from the start of the process to the end of its first answer. */
async function measureStart(shop: Workshop, start: (name: string) => Promise<Measured>): Promise<Line> {
  say('start ...')
  const times: Record<string, number[]> = { pipe: [], dario: [] }
  for (let round = 0; round < Math.max(5, rounds); round++) {
    for (const name of ['pipe', 'dario']) {
      shop.forget()
      const proxy = await start(name)
      await shop.load({ url: proxy.url, shape: 'small', dialect: 'anthropic', connections: 1, duration: 0 })
      times[name]?.push((await proxy.read()).cpu / 1000)
      await proxy.stop()
    }
  }
  const base = median(times['pipe'] ?? [])
  const dario = median(times['dario'] ?? [])
  return {
    name: 'start', title: 'start to first answer, CPU', base: `${base.toFixed(0)} ms (pipe)`, dario: `${dario.toFixed(0)} ms`,
    goal: `${START_GOAL_MS} ms`, reached: `${dario.toFixed(0)} ms`, met: dario <= START_GOAL_MS,
  }
}

/** The choice among five keys, as a share of what dario spends on a small request. */
async function measurePooling(shop: Workshop, start: (name: string) => Promise<Measured>): Promise<Line> {
  say('pool ...')
  const [small] = ROWS
  const dario = await start('dario')
  await measure(shop, small!, dario, WARM_UP)
  const relay = await measure(shop, small!, dario, duration)
  await dario.stop()
  const own = measurePool()
  return {
    name: 'pool', title: 'choice among five keys: CPU per request', base: `${relay.toFixed(0)} µs (relay)`, dario: `${own.toFixed(0)} µs`,
    goal: `${POOL_GOAL * 100} %`, reached: `${(100 * own / relay).toFixed(1)} %`, met: own <= POOL_GOAL * relay,
  }
}

async function measureTurn(): Promise<Line> {
  say('plan ...')
  const turn = await measurePlan()
  return {
    name: 'plan', title: 'a live turn of the plan: time that dario adds to its first byte', base: '', dario: `${turn.toFixed(1)} ms`,
    goal: `${PLAN_GOAL_MS} ms`, reached: `${turn.toFixed(1)} ms`, met: turn <= PLAN_GOAL_MS,
  }
}

function measurePackage(): Line {
  const shell = process.platform === 'win32'
  spawnSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, shell }) // as a release does
  const packed = spawnSync('npm', ['pack', '--dry-run', '--json'], { cwd: ROOT, encoding: 'utf8', shell })
  const list = JSON.parse(packed.stdout) as Record<string, { unpackedSize: number }>
  const size = (Object.values(list)[0]?.unpackedSize ?? NaN) / 1000
  return {
    name: 'package', title: 'unpacked package', base: '', dario: `${size.toFixed(0)} kB`,
    goal: `${PACKAGE_GOAL_KB} kB`, reached: `${size.toFixed(0)} kB`, met: size <= PACKAGE_GOAL_KB,
  }
}

function measureLines(): Line {
  const total = readHouse(ROOT).reduce((sum, file) => sum + file.lines, 0)
  return {
    name: 'lines', title: '`src` + `bin`', base: '', dario: `${total} lines`,
    goal: `${CEILING} lines`, reached: `${total} lines`, met: total <= CEILING,
  }
}

const shop = createWorkshop()
const lines: Line[] = []
try {
  const upstream = await shop.start('upstream', 'upstream', [])
  const config = shop.write('config.json', makeConfig(upstream.url))
  const budgets = [{ scope: 'all', per: 'day', dollars: 1e9 }, { scope: 'backend:bench', per: 'month', tokens: 1e15 }]
  const watched = shop.write('watched.json', makeConfig(upstream.url, { budgets }))
  const bin = join(ROOT, 'bin/dario.js')
  let logs = 0
  const start = (name: string): Promise<Measured> => {
    const args = ['proxy', '--port', '0', '--config', name === 'watched' ? watched : config]
    if (name === 'dario') return shop.start(name, bin, args)
    if (name === 'quiet') return shop.start(name, name, [bin, ...args])
    if (name === 'watched') return shop.start(name, bin, [...args, '--log-file', `dario-${logs++}.log`], { OTEL_EXPORTER_OTLP_ENDPOINT: upstream.url })
    return shop.start(name, name, [upstream.url])
  }
  const rows = ROWS.filter(({ name }) => wanted.includes(name))
  if (rows.length > 0) {
    const proxies = new Map<string, Measured[]>()
    const take = async (name: string, count: number): Promise<Measured[]> => {
      const list = proxies.get(name) ?? []
      proxies.set(name, list)
      while (list.length < count) list.push(await start(name))
      return list
    }
    for (const row of rows) {
      const { processes } = plan(row)
      lines.push(await measureRow(shop, row, await take(row.base, processes), await take(row.dario ?? 'dario', processes)))
    }
    for (const proxy of [...proxies.values()].flat()) await proxy.stop()
  }
  if (wanted.includes('pool')) lines.push(await measurePooling(shop, start))
  if (wanted.includes('plan')) lines.push(await measureTurn())
  if (wanted.includes('memory')) lines.push(await measureMemory(shop, start))
  if (wanted.includes('start')) lines.push(await measureStart(shop, start))
  if (wanted.includes('package')) lines.push(measurePackage())
  if (wanted.includes('lines')) lines.push(measureLines())
} finally {
  await shop.close()
}
const machine = `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${process.platform}`
const table = `${printTable(lines)}\n\n${machine}; median of ${rounds} interleaved rounds of ${duration / 1000} s, every answer checked; of what watches, 3 processes with and without it by turns of ${duration / 5000} s.`
console.log(values.json ? JSON.stringify({ machine, lines }, null, 2) : table)
if (values.write && wanted === names) {
  const readme = join(ROOT, 'README.md')
  const text = replaceSection(readFileSync(readme, 'utf8'), 'measurements', table, 'bench')
  if (text !== undefined) writeFileSync(readme, text)
}
