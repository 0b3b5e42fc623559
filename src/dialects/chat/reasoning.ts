/**
 * `reasoning_details`: the one place of Chat Completions where proof of reasoning can travel (OpenRouter's extension).
 * https://openrouter.ai/docs/use-cases/reasoning-tokens
 * @module
 */
import { packSeal, unpackSeal } from '../../hub/seal.ts'
import type { Block, BlockOf, JsonObject, Seal } from '../../hub/types.ts'
import { isObject, optionalArr, optionalStr } from '../read.ts'

export interface DetailCollector {
  /** Takes entries as they stream; returns their readable text. */
  push(entries: JsonObject[]): string
  /** Proof for everything since the last call; undefined when there was none. */
  take(): Seal | undefined
}

export function createDetailCollector(): DetailCollector {
  let entries: JsonObject[] = []
  return {
    push(pieces) {
      for (const piece of pieces) {
        const last = entries.at(-1)
        const continues = last !== undefined && last['type'] === piece['type'] && last['index'] === piece['index']
          && piece['type'] !== 'reasoning.encrypted'
        if (!continues) entries.push({ ...piece })
        else {
          for (const [field, value] of Object.entries(piece)) {
            const before = last[field]
            const grows = field === 'text' || field === 'summary'
            last[field] = grows && typeof before === 'string' ? before + (optionalStr(value) ?? '') : value ?? before
          }
        }
      }
      return pieces.map((piece) => optionalStr(piece['text']) ?? optionalStr(piece['summary']) ?? '').join('')
    },
    take() {
      const proofs = entries.filter((entry) => typeof proofOf(entry) === 'string' && proofOf(entry) !== '')
      const all = entries
      entries = []
      if (proofs.length === 0) return undefined
      // Another dario's own packing: the seal inside is the real one.
      const packed = proofs.length === 1 ? unpackSeal(proofOf(proofs[0] as JsonObject) as string) : undefined
      return packed ?? { origin: 'chat', value: JSON.stringify(all) }
    },
  }
}

const proofOf = (entry: JsonObject): string | undefined => optionalStr(entry['data']) ?? optionalStr(entry['signature'])

/**
 * The entry that carries a seal to a Chat client. Its `id`, a field that clients keep, says which characters of
 * `reasoning_content` the seal vouches for: a message has one such text, but may have had several thoughts.
 */
export function encodeSealEntry(seal: Seal, offset: number, length: number): JsonObject {
  return { type: 'reasoning.encrypted', id: `dario:${offset}:${length}`, data: packSeal(seal) }
}

/** The thoughts of an assistant message of a client's history, with the seals that we gave it. */
export function decodeThoughts(message: JsonObject): Block[] {
  const entries = (optionalArr(message['reasoning_details']) ?? []).filter(isObject)
  const text = optionalStr(message['reasoning_content']) ?? optionalStr(message['reasoning'])
    ?? createDetailCollector().push(entries)
  const blocks: BlockOf<'thinking'>[] = []
  const add = (from: number, to: number, seal?: Seal): void => {
    const sealed = seal === undefined ? {} : { seal }
    if (to > from) blocks.push({ type: 'thinking', text: text.slice(from, to), ...sealed })
    else if (seal !== undefined) blocks.push({ type: 'thinking', text: '', redacted: true, seal })
  }
  let position = 0
  for (const entry of entries) {
    const seal = unpackSeal(proofOf(entry) ?? '')
    const [, offset, length] = /^dario:(\d+):(\d+)$/.exec(optionalStr(entry['id']) ?? '') ?? []
    const from = Number(offset ?? position), to = length === undefined ? text.length : from + Number(length)
    // T3: a seal over text that the client has changed would be refused, so it is left out.
    if (seal === undefined || from < position || to > text.length) continue
    add(position, from)
    add(from, to, seal)
    position = to
  }
  add(position, text.length)
  return blocks
}
