/**
 * Where reasoning travels in Chat Completions: `reasoning_details`, the place for proof of it (OpenRouter's extension),
 * `extra_content` of a call (Google's), and for local servers without a reasoning parser the model's own `<think>` tags.
 * https://openrouter.ai/docs/use-cases/reasoning-tokens
 * @module
 */
import { packSeal, unpackSeal } from '../../hub/seal.ts'
import type { Block, BlockOf, Json, JsonObject, Seal } from '../../hub/types.ts'
import { isObject, objectsIn, optionalObj, optionalStr, parseObject } from '../read.ts'

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
      if (entries.length === 0) return undefined // most answers: asked for every piece of text
      const all = entries, proofs = entries.map(proofOf).filter((proof) => proof)
      entries = []
      if (proofs.length === 0) return undefined
      // Another dario's own packing: the seal inside is the real one.
      const packed = proofs.length === 1 ? unpackSeal(proofs[0]!) : undefined
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

/** Gemini's proof stands beside the call that came of its thoughts. */
export function readCallProof(call: Json): Seal | undefined {
  const extra_content = isObject(call) ? optionalObj(call['extra_content']) : undefined
  return extra_content && { origin: 'chat', value: JSON.stringify({ extra_content }) }
}

/** What stood beside the next call of the turn; undefined for every other block. */
export function toCallProof(block: Block): JsonObject | undefined {
  if (block.type !== 'thinking' || block.seal?.origin !== 'chat') return undefined
  return optionalObj(parseObject(block.seal.value)?.['extra_content'])
}

/** The thoughts of an assistant message of a client's history, with the seals that we gave it. */
export function decodeThoughts(message: JsonObject): Block[] {
  const entries = objectsIn(message['reasoning_details'])
  const text = optionalStr(message['reasoning_content']) || optionalStr(message['reasoning'])
    || createDetailCollector().push(entries)
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

export interface ThinkSplitter {
  push(text: string): void
  /** Tells what is held back; from now on everything is text. */
  flush(): void
}

const OPEN = '<think>'
const CLOSE = '</think>'
const MOST_BLANKS = 32

/** Only at the very start of an answer (pitfall T6): a tag anywhere later is text that the model wrote about tags. */
export function createThinkSplitter(tell: (kind: 'text' | 'thinking', text: string) => void): ThinkSplitter {
  let state: 'start' | 'inside' | 'after' | 'text' = 'start'
  let held = ''

  /** Tells the first characters of what is held; '' is for the listener to pass over. */
  function take(kind: 'text' | 'thinking', length: number): void {
    const text = held.slice(0, length)
    held = held.slice(length)
    tell(kind, text)
  }

  function push(text: string): void {
    if (state === 'text') return tell('text', text)
    held += text
    if (state === 'start') {
      const begun = held.trimStart() // GLM writes a line break first
      const leads = held.length - begun.length < MOST_BLANKS
      if (leads && begun.length < OPEN.length && OPEN.startsWith(begun)) return
      state = leads && begun.startsWith(OPEN) ? 'inside' : 'text'
      if (state === 'inside') held = begun.slice(OPEN.length)
    }
    if (state === 'inside') {
      const close = held.indexOf(CLOSE), begun = held.lastIndexOf(CLOSE.charAt(0))
      const isBegun = begun !== -1 && CLOSE.startsWith(held.slice(begun))
      take('thinking', close !== -1 ? close : isBegun ? begun : held.length)
      if (close === -1) return
      held = held.slice(CLOSE.length)
      state = 'after'
    }
    if (state === 'after') held = held.trimStart() // the blank line between the tag and the answer belongs to neither
    if (held !== '') state = 'text'
    take('text', held.length)
  }

  return {
    push,
    flush() {
      take(state === 'inside' ? 'thinking' : 'text', held.length)
      state = 'text'
    },
  }
}
