/**
 * Tool calls of a Chat answer, gathered from their pieces. Vendors leave out ids, indexes and names, repeat them, or
 * send a call twice (pitfalls S4, S5, S10, S11, O5): each call becomes one block, whatever came.
 * @module
 */
import type { HubEvent, Json, JsonObject } from '../../hub/types.ts'
import type { DecodeContext } from '../dialect.ts'
import { toToolUse } from '../encoding.ts'
import { isObject, optionalNum, optionalObj, optionalStr, parseObject, toText } from '../read.ts'

interface Call {
  key: string | undefined
  id: string
  /** The id as it came: some vendors give it to several calls. */
  given: string
  name: string
  native: boolean
  /** All arguments so far; never sliced, which would copy all of it for every delta. */
  input: string
  /** Its first piece was a JSON object: another one that names the tool again is another call. */
  whole: boolean
  /** What of it has not been sent on. */
  unsent: string
  /** Block index; undefined until the name and the id are known. */
  block: number | undefined
}

export interface CallDecoder {
  /** One entry of `tool_calls`, or a legacy `function_call` (`choice` and `fallbackKey` tell calls apart). */
  push(piece: Json, choice: number, fallbackKey?: string): void
  /** Ends every call: what waited for an id or a name is decided now. */
  close(): void
  /** Whether a call was seen that has, or will get, a block. */
  any(): boolean
}

/** @param events where the blocks of the calls are told */
export function createCallDecoder(context: DecodeContext, events: HubEvent[], nextIndex: () => number): CallDecoder {
  const { toolNames, newId } = context
  const calls: Call[] = []
  const byId = new Map<string, Call>(), byKey = new Map<string, Call>() // an upstream may send any number of calls
  let over = false

  function find(piece: JsonObject, id: string, name: string, text: string, choice: number, ownKey?: string): Call {
    const index = optionalNum(piece['index'])
    const key = index === undefined ? ownKey : `${choice}:${index}`
    const keyed = key === undefined ? undefined : byKey.get(key)
    const sameId = id === '' ? undefined : keyed?.given === id ? keyed : byId.get(id)
    const samePlace = sameId !== undefined && (name === '' || key === undefined || key === sameId.key)
    if (sameId !== undefined && fits(sameId, name, text) && (samePlace || isAgain(sameId, text))) return sameId
    const known = key !== undefined ? keyed : id === '' && name === '' ? calls.at(-1) : undefined
    // Servers that number every call 0: another id or, without ids, another name begins another call.
    const other = id !== '' && name !== '' && known?.name !== '' && known?.given !== '' && known?.given !== id
    if (known !== undefined && !other && fits(known, name, text)) return known
    const empty = { id: '', given: '', name: '', input: '', unsent: '' }
    const call: Call = { key, ...empty, native: false, whole: false, block: undefined }
    calls.push(call)
    if (key !== undefined) byKey.set(key, call)
    return call
  }

  function open(call: Call): number {
    const index = call.block = nextIndex()
    const block = toToolUse(context, call.id, call.name, call.native ? 'custom' : undefined)
    events.push({ type: 'block_start', index, block })
    return index
  }

  /** A custom tool went out wrapped as a function (R5), so its raw text is known only when the JSON is whole. */
  const isWrapped = (call: Call): boolean => !call.native && toolNames.get(call.name)?.kind === 'custom'

  function drain(call: Call): void {
    if (call.block === undefined || isWrapped(call) || call.unsent === '') return
    if (!over && call.input === '{}') return // Bedrock and Gemini may send the real object behind an empty one
    events.push({ type: 'delta', index: call.block, text: call.unsent })
    call.unsent = ''
  }

  return {
    push(piece, choice, fallbackKey) {
      if (!isObject(piece)) return
      const custom = optionalObj(piece['custom'])
      const part = custom ?? optionalObj(piece['function']) ?? piece
      const id = optionalStr(piece['id']) ?? '', name = optionalStr(part['name']) ?? ''
      const text = toInput(custom === undefined ? part['arguments'] : part['input'])
      const call = find(piece, id, name, text, choice, fallbackKey)
      // The same call sent whole once more, often in the finish chunk (S10): arguments that were complete stay so.
      const again = (id !== '' && id === call.given || name !== '' && name === call.name) && isAgain(call, text)
      call.native ||= custom !== undefined
      if (call.block === undefined) {
        call.given ||= id
        call.id ||= byId.has(id) ? newId('call_') : id
        call.name ||= name
      }
      if (id !== '' && id === call.id) byId.set(id, call)
      if (call.input === '' && text.length > 2) call.whole = parseObject(text) !== undefined
      if (!again) {
        if (call.input === '{}' && text !== '' && !call.native) call.input = call.unsent = ''
        call.input += text
        call.unsent += text
      }
      if (call.block === undefined && call.name !== '' && call.id !== '') open(call)
      drain(call)
    },
    close() {
      over = true
      for (const call of calls) {
        if (call.name === '') continue // lossy: nobody could run a call without a name (B14)
        call.id ||= newId('call_')
        const index = call.block ?? open(call)
        if (isWrapped(call)) {
          const text = optionalStr(parseObject(call.input)?.['input']) ?? call.input
          if (text !== '') events.push({ type: 'delta', index, text })
        } else {
          if (call.input === '' && !call.native) call.unsent = '{}' // K8
          drain(call)
        }
        events.push({ type: 'block_end', index })
      }
    },
    any: () => calls.some((call) => call.name !== ''),
  }
}

/** Whether a piece may belong to this call, by what it names and holds. */
function fits(call: Call, name: string, text: string): boolean {
  if (name === '' || call.name === '') return true
  return name === call.name && !(call.whole && text.startsWith('{') && text !== call.input)
}

const isAgain = (call: Call, text: string): boolean => text === call.input && parseObject(text) !== undefined

/** Arguments are JSON text; some servers send the object itself (pitfall O9). */
export const toInput = (value: Json | undefined): string => value == null ? '' : toText(value)
