/**
 * All fuzzers by name, and how one of them is run: seed after seed, until a number of runs or a time is over.
 * @module
 */
import { Script } from 'node:vm'
import { createRandom } from '../../test/helpers/property.ts'
import { CONFIG } from './config.ts'
import { DIALECT_CHECKS } from './dialects.ts'
import { HTTP } from './http.ts'
import type { Check } from './make.ts'
import { TEXT } from './text.ts'

export const CHECKS: Readonly<Record<string, Check>> = { ...TEXT, ...HTTP, ...CONFIG, ...DIALECT_CHECKS }

export interface Done {
  runs: number
  finding?: { seed: number; text: string }
}

const BATCH = 64
/** Milliseconds for a batch, of which one execution takes microseconds. */
const HANG_MS = 10_000

/** The same execution once more, with the places in the code. */
function explain(run: () => void): string {
  try {
    run()
  } catch (error) {
    return error instanceof Error ? error.stack ?? error.message : String(error)
  }
  return 'it passed the second time: the code keeps something between two executions'
}

const isHang = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'

/** Stops at the first finding: an exception, or an execution that does not come to an end. */
export function fuzz(name: string, seed: number, ms: number, most: number = Infinity): Done {
  const check = CHECKS[name]
  if (check === undefined) throw new Error(`no fuzzer ${name}; there are ${Object.keys(CHECKS).join(', ')}`)
  const end = performance.now() + ms
  const traces = Error.stackTraceLimit
  Error.stackTraceLimit = 0 // half of all executions end in an error, as they should
  let runs = 0
  // Only a script of node:vm can be stopped in the middle of an endless loop.
  const global = globalThis as { fuzzBatch?: () => void }
  global.fuzzBatch = (): void => {
    for (const stop = Math.min(runs + BATCH, most); runs < stop; runs++) check(createRandom(seed + runs))
  }
  const batch = new Script('fuzzBatch()')
  try {
    while (runs < most && performance.now() < end) batch.runInThisContext({ timeout: HANG_MS })
    return { runs }
  } catch (error) {
    Error.stackTraceLimit = traces
    return { runs: runs + 1, finding: { seed: seed + runs, text: isHang(error) ? `does not end within ${HANG_MS} ms` : explain((): void => check(createRandom(seed + runs))) } }
  } finally {
    Error.stackTraceLimit = traces
    delete global.fuzzBatch
  }
}
