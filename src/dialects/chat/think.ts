/**
 * `<think>` at the very start of an answer is reasoning (pitfall T6): local servers without a reasoning parser send
 * the model's own tags. A tag anywhere later is text that the model wrote about tags.
 * @module
 */

export interface Piece { kind: 'text' | 'thinking'; text: string }

export interface ThinkSplitter {
  push(text: string): Piece[]
  /** What is held back; from now on everything is text. */
  flush(): Piece[]
}

const OPEN = '<think>'
const CLOSE = '</think>'

export function createThinkSplitter(): ThinkSplitter {
  let state: 'start' | 'inside' | 'after' | 'text' = 'start'
  let held = ''

  function push(text: string): Piece[] {
    if (state === 'text') return [{ kind: 'text', text }]
    held += text
    const pieces: Piece[] = []
    if (state === 'start') {
      if (held.length < OPEN.length && OPEN.startsWith(held)) return pieces
      state = held.startsWith(OPEN) ? 'inside' : 'text'
      if (state === 'inside') held = held.slice(OPEN.length)
    }
    if (state === 'inside') pieces.push(...takeThought())
    if (state === 'after') {
      held = held.trimStart() // the blank line between the tag and the answer belongs to neither
      if (held !== '') state = 'text'
    }
    if (state === 'text') pieces.push({ kind: 'text', text: take(held.length) })
    return pieces.filter((piece) => piece.text !== '')
  }

  function takeThought(): Piece[] {
    const close = held.indexOf(CLOSE)
    if (close === -1) return [{ kind: 'thinking', text: take(held.length - partialClose(held)) }]
    const thought = take(close)
    held = held.slice(CLOSE.length)
    state = 'after'
    return [{ kind: 'thinking', text: thought }]
  }

  function take(length: number): string {
    const taken = held.slice(0, length)
    held = held.slice(length)
    return taken
  }

  return {
    push,
    flush() {
      const kind = state === 'inside' ? 'thinking' : 'text'
      state = 'text'
      return held === '' ? [] : [{ kind, text: take(held.length) }]
    },
  }
}

/** Length of the longest end of `text` that may be the beginning of the closing tag. */
function partialClose(text: string): number {
  for (let length = Math.min(CLOSE.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(CLOSE.slice(0, length))) return length
  }
  return 0
}
