/**
 * The requests and answers of every measured row, made in one place: the upstream sends them, the load generator
 * compares what came through with them, byte for byte where the dialect is the same.
 * @module
 */

export type Shape = 'small' | 'burst' | 'packets' | 'large' | 'slow'

export interface Traffic {
  /** Stream events of one answer; 0 for a whole JSON answer. */
  events: number
  /** Milliseconds between events; 0: all in one tick. */
  pause: number
  /** Characters of conversation in the request. */
  conversation: number
}

export const TRAFFIC: Readonly<Record<Shape, Traffic>> = {
  small: { events: 0, pause: 0, conversation: 300 },
  burst: { events: 300, pause: 0, conversation: 300 },
  packets: { events: 100, pause: 2, conversation: 300 },
  large: { events: 0, pause: 0, conversation: 1_000_000 },
  slow: { events: 20, pause: 500, conversation: 300 },
}

const WORDS = ['the ', 'relay ', 'copies ', 'every ', 'byte ', 'as ', 'it ', 'came ', '"quoted" ', 'naïve\n']
const word = (index: number): string => WORDS[index % WORDS.length] ?? ''

/** The text that the client must have read when a stream of so many deltas is over. */
export function makeText(deltas: number): string {
  let text = ''
  for (let index = 0; index < deltas; index++) text += word(index)
  return text
}

function frame(data: { type: string }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** An Anthropic stream of exactly `events` events, of which all but five are text deltas. */
export function makeEvents(events: number): string[] {
  const frames = [
    frame(Object.assign({ type: 'message_start' }, {
      message: {
        id: 'msg_bench', type: 'message', role: 'assistant', model: 'bench', content: [], stop_reason: null,
        stop_sequence: null, usage: { input_tokens: 25, output_tokens: 1 },
      },
    })),
    frame(Object.assign({ type: 'content_block_start' }, { index: 0, content_block: { type: 'text', text: '' } })),
  ]
  for (let index = 0; index < events - 5; index++) {
    frames.push(frame(Object.assign({ type: 'content_block_delta' }, { index: 0, delta: { type: 'text_delta', text: word(index) } })))
  }
  frames.push(
    frame(Object.assign({ type: 'content_block_stop' }, { index: 0 })),
    frame(Object.assign({ type: 'message_delta' }, { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 42 } })),
    frame({ type: 'message_stop' }),
  )
  return frames
}

/** A whole Anthropic answer. */
export function makeReply(): string {
  return JSON.stringify({
    id: 'msg_bench', type: 'message', role: 'assistant', model: 'bench', content: [{ type: 'text', text: makeText(40) }],
    stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 25, output_tokens: 42 },
  })
}

/** A request of the row; its model's name tells the upstream which answer is wanted. */
export function makeRequest(shape: Shape, dialect: 'anthropic' | 'chat', stream: boolean): string {
  const { conversation } = TRAFFIC[shape]
  const turns = Math.max(1, Math.round(conversation / 10_000))
  const filler = makeText(Math.ceil(conversation / turns / 5)).slice(0, Math.ceil(conversation / turns))
  const messages = Array.from({ length: 2 * turns - 1 }, (_, index) => ({
    role: index % 2 === 0 ? 'user' : 'assistant', content: index % 2 === 0 ? filler : 'Go on.',
  }))
  return JSON.stringify({ model: `bench-${shape}${stream ? '-stream' : ''}`, stream, messages, ...(dialect === 'anthropic' ? { max_tokens: 1000 } : {}) })
}
