/**
 * The input items of a Responses request, and earlier answers put in their place: what a relay needs of this dialect.
 * @module
 */
import type { Json, JsonObject } from '../../hub/types.ts'
import { isObject, optionalArr, optionalStr } from '../read.ts'

export interface StoredResponse {
  /** The request's input items, history included. */
  input: JsonObject[]
  /** The answer's items. */
  output: JsonObject[]
}

/** A bare string is one user message. */
export function toItems(input: unknown): Json[] {
  if (typeof input === 'string') return [{ type: 'message', role: 'user', content: input }]
  return optionalArr(input) ?? []
}

type Find = (id: string) => JsonObject | undefined

/**
 * The same request without `previous_response_id`: the stored history stands before its input, and references to
 * stored items are replaced by them (pitfall R18); `find` knows those of other answers. Instructions are not
 * inherited, as the API has it.
 */
export function expandInput(body: JsonObject, stored: StoredResponse | undefined, find: Find = () => undefined): JsonObject {
  const history = stored === undefined ? [] : [...stored.input, ...stored.output]
  const byId = new Map(history.map((item) => [item['id'], item]))
  const items = toItems(body['input'])
  const input = items.map((item) => {
    if (!isObject(item) || item['type'] !== 'item_reference') return item
    const id = optionalStr(item['id']) ?? ''
    return (id && byId.get(id)) || find(id) || item
  })
  if (stored === undefined) return input.every((item, index) => item === items[index]) ? body : { ...body, input }
  const { previous_response_id: _, ...rest } = body
  return { ...rest, input: [...history, ...input] }
}
