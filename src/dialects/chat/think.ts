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

  function take(kind: Piece['kind'], length: number): Piece[] {
    const text = held.slice(0, length)
    held = held.slice(length)
    return text === '' ? [] : [{ kind, text }]
  }

  function push(text: string): Piece[] {
    if (state === 'text') return [{ kind: 'text', text }]
    held += text
    const pieces: Piece[] = []
    if (state === 'start') {
      if (held.length < OPEN.length && OPEN.startsWith(held)) return pieces
      state = held.startsWith(OPEN) ? 'inside' : 'text'
      if (state === 'inside') held = held.slice(OPEN.length)
    }
    if (state === 'inside') {
      const close = held.indexOf(CLOSE)
      pieces.push(...take('thinking', close === -1 ? held.length - partialClose(held) : close))
      if (close === -1) return pieces
      held = held.slice(CLOSE.length)
      state = 'after'
    }
    if (state === 'after') held = held.trimStart() // the blank line between the tag and the answer belongs to neither
    if (held !== '') state = 'text'
    return [...pieces, ...take('text', held.length)]
  }

  return {
    push,
    flush() {
      const pieces = take(state === 'inside' ? 'thinking' : 'text', held.length)
      state = 'text'
      return pieces
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
