/**
 * Tool calls of a Chat answer, gathered from their pieces. Vendors leave out ids, indexes and names, repeat them, or
 * send a call twice (pitfalls S4, S5, S10, S11, O5): each call becomes one block, whatever came.
 * @module
 */
import type { HubEvent, Json, JsonObject } from '../../hub/types.ts'
import type { DecodeContext } from '../dialect.ts'
import { toToolUse } from '../encoding.ts'
import { isObject, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'

interface Call {
  id: string
  name: string
  native: boolean
  /** All arguments so far; never sliced, which would copy all of it for every delta. */
  input: string
  /** What of it has not been sent on. */
  unsent: string
  /** Block index; undefined until the name and the id are known. */
  block: number | undefined
}

export interface CallDecoder {
  /** One entry of `tool_calls`, or a legacy `function_call` (`choice` and `fallbackKey` tell calls apart). */
  push(piece: Json, choice: number, fallbackKey?: string): HubEvent[]
  /** Ends every call: what waited for an id or a name is decided now. */
  close(): HubEvent[]
  /** Whether a call was seen that has, or will get, a block. */
  any(): boolean
}

export function createCallDecoder(context: DecodeContext, nextIndex: () => number): CallDecoder {
  const { toolNames, newId } = context
  const calls: Call[] = []
  const byId = new Map<string, Call>(), byKey = new Map<string, Call>() // an upstream may send any number of calls
  let over = false

  function find(piece: JsonObject, id: string, name: string, choice: number, fallbackKey: string | undefined): Call {
    const index = optionalNum(piece['index'])
    const key = index === undefined ? fallbackKey : `${choice}:${index}`
    const sameId = byId.get(id)
    if (sameId !== undefined) return sameId
    const known = key !== undefined ? byKey.get(key) : id === '' && name === '' ? calls.at(-1) : undefined
    // Servers that number every call 0: another id or, without ids, another name begins another call.
    const other = known !== undefined && name !== '' && known.name !== ''
      && (id !== '' && known.id !== '' ? id !== known.id : name !== known.name)
    if (known !== undefined && !other) return known
    const call: Call = { id: '', name: '', native: false, input: '', unsent: '', block: undefined }
    calls.push(call)
    if (key !== undefined) byKey.set(key, call)
    return call
  }

  function open(call: Call): HubEvent[] {
    call.block = nextIndex()
    const block = toToolUse(context, call.id, call.name, call.native ? 'custom' : undefined)
    return [{ type: 'block_start', index: call.block, block }]
  }

  /** A custom tool went out wrapped as a function (R5), so its raw text is known only when the JSON is whole. */
  const isWrapped = (call: Call): boolean => !call.native && toolNames.get(call.name)?.kind === 'custom'

  function drain(call: Call): HubEvent[] {
    if (call.block === undefined || isWrapped(call) || call.unsent === '') return []
    if (!over && call.input === '{}') return [] // Bedrock and Gemini may send the real object behind an empty one
    const text = call.unsent
    call.unsent = ''
    return [{ type: 'delta', index: call.block, text }]
  }

  return {
    push(piece, choice, fallbackKey) {
      if (!isObject(piece)) return []
      const custom = optionalObj(piece['custom'])
      const part = custom ?? optionalObj(piece['function']) ?? piece
      const id = optionalStr(piece['id']) ?? '', name = optionalStr(part['name']) ?? ''
      const call = find(piece, id, name, choice, fallbackKey)
      const text = toInput(custom === undefined ? part['arguments'] : part['input'])
      // The same call sent whole once more, often in the finish chunk (S10): arguments that were complete stay so.
      const again = (id !== '' && id === call.id || name !== '' && name === call.name)
        && text === call.input && parseObject(text) !== undefined
      call.native ||= custom !== undefined
      if (call.block === undefined) {
        call.id ||= id
        call.name ||= name
      }
      if (id !== '' && id === call.id) byId.set(id, call)
      if (!again) {
        if (call.input === '{}' && text !== '' && !call.native) call.input = call.unsent = ''
        call.input += text
        call.unsent += text
      }
      const opened = call.block === undefined && call.name !== '' && call.id !== '' ? open(call) : []
      return [...opened, ...drain(call)]
    },
    close() {
      const events: HubEvent[] = []
      over = true
      for (const call of calls) {
        if (call.name === '') continue // lossy: nobody could run a call without a name (B14)
        if (call.block === undefined) {
          call.id ||= newId('call_')
          events.push(...open(call))
        }
        if (isWrapped(call)) {
          const text = optionalStr(parseObject(call.input)?.['input']) ?? call.input
          if (text !== '') events.push({ type: 'delta', index: call.block as number, text })
        } else {
          if (call.input === '' && !call.native) call.unsent = '{}' // K8
          events.push(...drain(call))
        }
        events.push({ type: 'block_end', index: call.block as number })
      }
      return events
    },
    any: () => calls.some((call) => call.name !== ''),
  }
}

/** Arguments are JSON text; some servers send the object itself (pitfall O9). */
export function toInput(value: Json | undefined): string {
  return typeof value === 'string' ? value : value == null ? '' : JSON.stringify(value)
}
