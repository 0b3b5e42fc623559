/**
 * Makes a history's tool calls and results match, which every vendor demands and few clients keep: one result per
 * call, directly after the turn that called, in call order; nothing dangling on either side.
 * @module
 */
import type { Block, BlockOf, Turn, Warning } from './types.ts'

interface Call {
  block: BlockOf<'tool_use'>
  /** The id under which its results come; differs from the block's own only when a server used an id twice. */
  wireId: string
  result?: BlockOf<'tool_result'>
  /** Where the result stood. */
  path?: string | undefined
}

/** The calls of one id. Results come in the order of the calls: `calls` are those of the latest turn. */
interface Same {
  count: number
  turn: Turn
  calls: Call[]
  answered: number
}

/** Run once on a decoded request. Turns that were left empty are gone; other blocks keep their order. */
export function repairToolTurns(turns: readonly Turn[]): { turns: Turn[]; warnings: Warning[] } {
  const warnings: Warning[] = []
  if (!turns.some(hasCallOrResult)) return { turns: [...turns], warnings } // most conversations, and they are long
  const { calls, kept } = matchCalls(turns, warnings)
  const repaired: Turn[] = []
  let group: Call[] = []
  for (const turn of kept) {
    if (turn.role !== 'assistant') repaired.push(...toResultTurns(group.splice(0), warnings))
    if (turn.blocks.length === 0) continue
    repaired.push(turn)
    // Neighbouring assistant turns are one turn to every vendor: results come after the last of them (pitfall R8).
    for (const block of turn.blocks) {
      const call = block.type === 'tool_use' ? calls.get(block) : undefined
      if (call !== undefined) group.push(call)
    }
  }
  repaired.push(...toResultTurns(group, warnings))
  return { turns: repaired, warnings }
}

/** Pairs every result with the latest call of its id; takes results out of their turns, as they get a new place. */
function matchCalls(turns: readonly Turn[], warnings: Warning[]): { calls: Map<Block, Call>; kept: Turn[] } {
  const calls = new Map<Block, Call>()
  const byId = new Map<string, Same>()
  const skipped = new Set<string>() // ids of nameless calls
  const kept = turns.map((turn): Turn => {
    if (!hasCallOrResult(turn)) return turn
    const warn = (reason: string): Block[] => {
      warnings.push({ path: turn.path ?? 'messages', reason })
      return []
    }
    const blocks = turn.blocks.flatMap((block): Block[] => {
      if (block.type === 'tool_use') {
        if (block.name === '') {
          skipped.add(block.id)
          return warn('a tool call without a name is left out, with its result (some models make them)')
        }
        const call = takeCall(block, turn, byId)
        if (call === undefined) return warn(`a second call ${block.id} is left out`)
        calls.set(call.block, call)
        return [call.block]
      }
      if (block.type !== 'tool_result') return [block]
      const same = byId.get(block.toolUseId)
      const call = same?.calls[same.answered++] ?? same?.calls.at(-1)
      if (call !== undefined) {
        if (call.result !== undefined) warn(`a second result of call ${call.wireId}: the last one is kept`)
        call.result = { ...block, toolUseId: call.block.id }
        call.path = turn.path
        return []
      }
      if (skipped.has(block.toolUseId)) return []
      warn('a tool result without its call is sent as text')
      return [{ type: 'text', text: 'Result of an earlier tool call:' }, ...block.content]
    })
    // Reasoning led to a call: of a turn that held nothing else, and lost it, no vendor takes the rest.
    return { ...turn, blocks: blocks.every(({ type }) => type === 'thinking') ? [] : blocks }
  })
  return { calls, kept }
}

function hasCallOrResult({ blocks }: Turn): boolean {
  return blocks.some(({ type }) => type === 'tool_use' || type === 'tool_result')
}

/** undefined for one that was replayed. */
function takeCall(block: BlockOf<'tool_use'>, turn: Turn, byId: Map<string, Same>): Call | undefined {
  const known = byId.get(block.id), before = known?.calls.at(-1)?.block
  if (before?.name === block.name && before.input === block.input) return undefined
  const same = known?.turn === turn ? known : { count: known?.count ?? 0, turn, calls: [], answered: 0 }
  byId.set(block.id, same)
  // Some local servers count their ids anew in every answer, or leave them empty; vendors want them filled and unique.
  const id = (block.id || 'call_without_id') + (++same.count === 1 ? '' : `_${same.count}`)
  const call: Call = { block: id === block.id ? block : { ...block, id }, wireId: block.id }
  same.calls.push(call)
  return call
}

function toResultTurns(calls: Call[], warnings: Warning[]): Turn[] {
  if (calls.length === 0) return []
  const blocks = calls.map((call): Block => {
    if (call.result !== undefined) return call.result
    warnings.push({ path: 'messages', reason: `call ${call.wireId} had no result: one that says so was added` })
    return {
      type: 'tool_result',
      toolUseId: call.block.id,
      content: [{ type: 'text', text: 'No result: the call was interrupted.' }],
      isError: true,
    }
  })
  return [{ role: 'user', blocks, path: calls.find((call) => call.path !== undefined)?.path }]
}
