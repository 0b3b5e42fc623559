/**
 * The model list in the shape that the caller speaks: Anthropic's when it sends `anthropic-version`, else OpenAI's.
 * https://docs.claude.com/en/api/models-list https://platform.openai.com/docs/api-reference/models
 * @module
 */
import type { ModelInfo } from '../backends/backend.ts'
import { DarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import { toPrintable } from './guard.ts'

export interface ModelEntry {
  id: string
  /** Id of the backend that serves it. */
  backend: string
  info?: ModelInfo | undefined
}

export interface ModelQuery {
  /** Of one model; empty for the list. */
  id: string
  query: string
  /** Whose shape the caller speaks. */
  anthropic: boolean
}

/** `1970-01-01` stands for an unknown date in both shapes, as Anthropic's page allows. */
const UNKNOWN_DATE = 0
/** Anthropic's own ceiling of a page, and our default: most clients read one page only and would miss the rest. */
const MAX_PAGE = 1_000

/** One model, or without an `id` a page of them. @throws DarioError `model_not_found`, `invalid_request`. */
export function encodeModels(entries: readonly ModelEntry[], { id, query, anthropic }: ModelQuery): JsonObject {
  const encode = anthropic ? encodeForAnthropic : encodeForOpenAi
  if (id !== '') return encode(findModel(entries, id))
  // The same model behind two backends is one model to the client; the first one is where routing would go.
  const ids = new Set<string>()
  const unique = entries.filter(({ id }) => ids.size < ids.add(id).size)
  if (!anthropic) return { object: 'list', data: unique.map(encode) }
  const { page, hasMore } = cutPage(unique, new URLSearchParams(query))
  return {
    data: page.map(encode),
    has_more: hasMore,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  }
}

/** `backend/model` and `backend:model` are found too, as in requests; the caller sees the name that it asked for. */
function findModel(entries: readonly ModelEntry[], id: string): ModelEntry {
  const entry = entries.find((candidate) => candidate.id === id)
    ?? entries.find(({ backend, id: name, info }) => ['/', ':'].some((mark) => id === `${backend}${mark}${info?.id ?? name}`))
  if (entry === undefined) {
    throw new DarioError('model_not_found',
      `There is no model "${toPrintable(id)}" here; GET /v1/models lists those that are`)
  }
  return { ...entry, id }
}

function encodeForAnthropic({ id, info }: ModelEntry): JsonObject {
  return {
    type: 'model',
    id,
    display_name: info?.displayName ?? id,
    created_at: toTimestamp(info?.created),
    ...(info?.maxInputTokens !== undefined && { max_input_tokens: info.maxInputTokens }),
    ...(info?.maxOutputTokens !== undefined && { max_tokens: info.maxOutputTokens }),
  }
}

/** RFC 3339; a number that is no date (some servers send milliseconds) must not break the whole list. */
function toTimestamp(created: number | undefined): string {
  const date = new Date((created ?? UNKNOWN_DATE) * 1000)
  return (date.getUTCFullYear() <= 9999 ? date : new Date(UNKNOWN_DATE)).toISOString().replace('.000Z', 'Z')
}

function encodeForOpenAi({ id, backend, info }: ModelEntry): JsonObject {
  return {
    id,
    object: 'model',
    created: info?.created ?? UNKNOWN_DATE,
    owned_by: info?.ownedBy ?? backend,
    ...(info?.maxInputTokens !== undefined && {
      context_length: info.maxInputTokens,
      max_input_tokens: info.maxInputTokens,
    }),
    ...(info?.maxOutputTokens !== undefined && { max_output_tokens: info.maxOutputTokens }),
  }
}

function cutPage(entries: ModelEntry[], query: URLSearchParams): { page: ModelEntry[]; hasMore: boolean } {
  const limit = Number(query.get('limit') ?? MAX_PAGE)
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
    throw new DarioError('invalid_request', `limit: must be a whole number from 1 to ${MAX_PAGE}`, { path: 'limit' })
  }
  const before = query.get('before_id')
  if (before !== null) {
    const end = findIndex(entries, before, 'before_id')
    return { page: entries.slice(Math.max(0, end - limit), end), hasMore: end > limit }
  }
  const after = query.get('after_id')
  const start = after === null ? 0 : findIndex(entries, after, 'after_id') + 1
  return { page: entries.slice(start, start + limit), hasMore: start + limit < entries.length }
}

function findIndex(entries: ModelEntry[], id: string, path: string): number {
  const index = entries.findIndex((entry) => entry.id === id)
  if (index !== -1) return index
  throw new DarioError('invalid_request', `${path}: there is no model "${toPrintable(id)}"; start again without it`, { path })
}
