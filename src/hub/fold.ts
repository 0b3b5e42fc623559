/**
 * Folds a stream of hub events into one whole reply, for clients that did not ask for a stream.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { Block, HubEvent, HubReply } from './types.ts'

/** One fold per answer. */
export interface Fold {
  /** @throws DarioError `upstream_protocol` when the answer is larger than the limit. */
  push(event: HubEvent): void
  /** @throws DarioError the stream's own error, or `upstream_protocol` when it never ended: half an answer is none. */
  result(): HubReply
}

/** `maxChars`: bound on the text of one answer in UTF-16 units, as a whole answer is held in memory. */
export function createFold(maxChars = 67_108_864): Fold {
  const blocks = new Map<number, Block>()
  let start: Extract<HubEvent, { type: 'start' }> | undefined
  let end: Extract<HubEvent, { type: 'end' | 'error' }> | undefined
  let size = 0

  function push(event: HubEvent): void {
    if (end !== undefined) return
    switch (event.type) {
      case 'start':
        start = event
        break
      case 'block_start':
        blocks.set(event.index, { ...event.block })
        break
      case 'delta': {
        size += event.text.length
        if (size > maxChars)
          throw new DarioError('upstream_protocol', `the answer has over ${maxChars} characters; ask for a stream`)
        const block = blocks.get(event.index)
        if (block?.type === 'tool_use') block.input += event.text
        else if (block !== undefined && 'text' in block) block.text += event.text // others come whole
        break
      }
      case 'seal': {
        const block = blocks.get(event.index)
        if (block?.type === 'thinking') block.seal = event.seal
        break
      }
      case 'end':
      case 'error':
        end = event
        break
      case 'block_end':
      case 'ping':
        break
      default:
        event satisfies never
    }
  }

  function result(): HubReply {
    if (end?.type === 'error') throw end.error
    if (start === undefined || end === undefined) {
      throw new DarioError('upstream_protocol', 'the upstream ended its answer half way; send the request again')
    }
    const { type: _, ...ending } = end
    return { id: start.id, model: start.model, blocks: [...blocks.values()].map(toWhole), ...ending }
  }

  return { push, result }
}

/** A call without arguments streams no input at all; as JSON that is the empty object (pitfall K8). */
function toWhole(block: Block): Block {
  if (block.type !== 'tool_use' || block.kind === 'custom' || block.input.trim() !== '') return block
  return { ...block, input: '{}' }
}
