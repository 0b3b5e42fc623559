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
  const latest = new Map<string, Call>()
  const skipped = new Set<string>() // ids of nameless calls
  const kept = turns.map((turn): Turn => {
    if (!hasCallOrResult(turn)) return turn
    const blocks = turn.blocks.flatMap((block): Block[] => {
      const path = turn.path ?? 'messages'
      if (block.type === 'tool_use') {
        const call = takeCall(block, latest, path, warnings)
        if (call === undefined) {
          if (block.name === '') skipped.add(block.id)
          return []
        }
        calls.set(call.block, call)
        return [call.block]
      }
      if (block.type !== 'tool_result') return [block]
      const call = latest.get(block.toolUseId)
      if (call !== undefined) {
        if (call.result !== undefined)
          warnings.push({ path, reason: `a second result of call ${call.wireId}: the last one is kept` })
        call.result = { ...block, toolUseId: call.block.id }
        call.path = turn.path
        return []
      }
      if (skipped.has(block.toolUseId)) return []
      warnings.push({ path, reason: 'a tool result without its call is sent as text' })
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

function takeCall(
  block: BlockOf<'tool_use'>, latest: Map<string, Call>, path: string, warnings: Warning[],
): Call | undefined {
  if (block.name === '') {
    warnings.push({ path, reason: 'a tool call without a name is left out, with its result (some models make them)' })
    return undefined
  }
  const before = latest.get(block.id)
  const isSame = before?.block.name === block.name && before.block.input === block.input
  if (before !== undefined && (before.result === undefined || isSame)) {
    warnings.push({ path, reason: `a second call ${block.id} is left out` })
    return undefined
  }
  const id = block.id === '' ? 'call_without_id' : block.id // vendors refuse an empty one
  // Some local servers count their ids anew in every answer; each vendor wants them unique.
  const last = before?.block.id
  const uses = last === undefined ? id : `${id}_${last === id ? 2 : Number(last.slice(id.length + 1)) + 1}`
  const call: Call = { block: uses === block.id ? block : { ...block, id: uses }, wireId: block.id }
  latest.set(block.id, call)
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
