/**
 * What the plan adds to a live turn: from the request to the head of its answer, over a stand-in for the official program
 * that answers at once.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { readAnswer, startPlan } from '../../test/helpers/plan.ts'
import type { Message } from '../../test/helpers/plan.ts'

const TURNS = 21
/** Milliseconds until the program has written its last line about a turn, and waits for the next one. */
const REST = 60

/** Milliseconds, the median of live turns. */
export async function measurePlan(): Promise<number> {
  const endings: (() => unknown)[] = []
  const plan = await startPlan({ after: (ending: () => unknown) => { endings.push(ending) } } as Parameters<typeof startPlan>[0])
  const turns: number[] = []
  try {
    const history: Message[] = []
    for (let turn = 0; turn <= TURNS; turn++) {
      history.push({ role: 'user', content: `say ${turn}` })
      const began = performance.now()
      const upstream = await plan.send(history)
      if (turn > 0) turns.push(performance.now() - began) // the first one starts the program
      history.push({ role: 'assistant', content: (await readAnswer(upstream)).message.content })
      await sleep(REST)
    }
  } finally {
    for (const ending of endings) await ending()
  }
  return turns.sort((one, other) => one - other)[Math.floor(turns.length / 2)] ?? NaN
}
