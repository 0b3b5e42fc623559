/**
 * Finished answers of the Responses API, kept in memory for `previous_response_id`, since a backend of another dialect
 * keeps none (pitfall R18). Bounded; the one used longest ago goes first; gone when the process ends.
 * @module
 */
import { toItems } from '../dialects/responses/items.ts'
import type { StoredResponse } from '../dialects/responses/items.ts'
import type { JsonObject } from '../hub/types.ts'
import { isObject } from '../hub/json.ts'
import { createBounded } from '../hub/memo.ts'

export interface ResponseStore {
  /** Marks it as used. `owner` (name of the access key) must be the one it was kept under: ids are no secret. */
  get(id: string, owner?: string): StoredResponse | undefined
  /** An output item of a kept answer: the AI SDK refers to each by its id, and names no answer. */
  item(id: string, owner?: string): JsonObject | undefined
  /** Keeps an answer for the body (already expanded) that it answers, unless that says `store: false` or goes on from what a vendor holds. */
  keep(body: JsonObject, reply: JsonObject, owner?: string): void
}

/** `maxCount`: answers and their items, default 4,000. `maxBytes`: of all together, default 64 MiB. */
export function createResponseStore(maxCount = 4000, maxBytes = 67_108_864): ResponseStore {
  /** As JSON bytes: their size is known, and nothing that a request holds can change them. */
  const kept = createBounded<Buffer>(maxCount, maxBytes, (bytes) => bytes.length)

  function put(id: string, stored: StoredResponse, owner = ''): void {
    kept.set(toKey(id, owner), Buffer.from(JSON.stringify(stored)))
  }

  function get(id: string, owner = ''): StoredResponse | undefined {
    const bytes = kept.get(toKey(id, owner))
    return bytes && JSON.parse(bytes.toString()) as StoredResponse
  }

  return {
    get,
    keep(body, reply, owner) {
      const isPart = typeof body['previous_response_id'] === 'string' || body['conversation'] != null
      if (body['store'] === false || isPart || typeof reply['id'] !== 'string') return
      const output = toItems(reply['output']).filter(isObject)
      for (const item of output) if (typeof item['id'] === 'string') put(toItemId(item['id']), { input: [], output: [item] }, owner)
      put(reply['id'], { input: toItems(body['input']).filter(isObject), output }, owner)
    },
    item: (id, owner) => get(toItemId(id), owner)?.output[0],
  }
}

// Apart from its answer, whose whole history would be parsed for each item that a request refers to.
const toItemId = (id: string): string => `item ${id}`
const toKey = (id: string, owner: string): string => JSON.stringify([owner, id])
