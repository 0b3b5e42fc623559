/**
 * The models of a backend, read from `GET /v1/models` in every shape that servers give it, and a catalog that asks
 * each backend once in ten minutes.
 * https://docs.anthropic.com/en/api/models-list, https://platform.openai.com/docs/api-reference/models/list,
 * https://openrouter.ai/docs/api-reference/list-available-models
 * @module
 */
import { DarioError } from '../errors.ts'
import { toFields } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Backend, Key, ModelInfo } from './backend.ts'
import { readText, toErrorSentence } from './body.ts'
import { toPlainCall } from './probe.ts'

/** A server that always says `has_more` must not keep us asking. */
const MAX_PAGES = 20

/** @throws DarioError when the backend refuses, breaks or gives no list; the signal's reason when it was aborted. */
export async function listModels(
  backend: Pick<Backend, 'send' | 'speaks'>, key: Key | undefined, signal: AbortSignal,
): Promise<ModelInfo[]> {
  const dialect = backend.speaks[0] ?? 'chat'
  const models: ModelInfo[] = []
  let query = dialect === 'anthropic' ? '?limit=1000' : ''
  for (let page = 0; page < MAX_PAGES; page++) {
    const upstream = await backend.send(toPlainCall('GET', `/v1/models${query}`, dialect), key, signal)
    const text = await readText(upstream)
    const body = parseList(upstream.status, text)
    models.push(...body.entries.flatMap((entry) => readModel(entry) ?? []))
    const last = models.at(-1)?.id
    if (!body.more || last === undefined) break
    query = `?limit=1000&after_id=${encodeURIComponent(body.lastId ?? last)}`
  }
  return models
}

/** `{data: […]}` (OpenAI, Anthropic), `{models: […]}` (Ollama, llama.cpp), or the bare array (Together). */
function parseList(status: number, text: string): { entries: unknown[]; more: boolean; lastId: string | undefined } {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new DarioError('upstream_error', toErrorSentence(status, text), { status })
  }
  const fields = toFields(body)
  const entries = [body, fields['data'], fields['models']].find((list) => Array.isArray(list)) as unknown[] | undefined
  if (status >= 300 || entries === undefined) {
    const message = `the model list was answered with status ${status}; check the key and baseUrl`
    throw new DarioError('upstream_error', message, { status })
  }
  return { entries, more: fields['has_more'] === true, lastId: readString(fields['last_id']) }
}

/** Anthropic and LiteLLM, OpenRouter, vLLM, Groq, Mistral. */
const INPUT_LIMIT = ['max_input_tokens', 'context_length', 'max_model_len', 'context_window', 'max_context_length']

function readModel(entry: unknown): ModelInfo | undefined {
  const fields = toFields(entry)
  const id = readString(fields['id']) ?? readString(fields['model']) ?? readString(fields['name'])
  if (id === undefined) return undefined
  const top = toFields(fields['top_provider'])
  const name = readString(fields['display_name']) ?? readString(fields['name'])
  return {
    id,
    ownedBy: readString(fields['owned_by']),
    created: readCount(fields['created']) ?? readTime(fields['created_at']),
    displayName: name === id ? undefined : name,
    maxInputTokens: readFirst(fields, INPUT_LIMIT),
    maxOutputTokens: readCount(top['max_completion_tokens'])
      ?? readFirst(fields, ['max_output_tokens', 'max_completion_tokens', 'max_tokens']),
    price: readPrice(fields),
  }
}

/** OpenRouter's dollars per token as strings, LiteLLM's as numbers. A negative price means "depends". */
function readPrice(fields: JsonObject): ModelInfo['price'] {
  const pricing = toFields(fields['pricing'])
  const input = readDollars(pricing['prompt'] ?? fields['input_cost_per_token'])
  const output = readDollars(pricing['completion'] ?? fields['output_cost_per_token'])
  if (input === undefined || output === undefined) return undefined
  return {
    input,
    output,
    cacheRead: readDollars(pricing['input_cache_read'] ?? fields['cache_read_input_token_cost']),
    cacheWrite: readDollars(pricing['input_cache_write'] ?? fields['cache_creation_input_token_cost']),
  }
}

function readString(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function readCount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.floor(value) : undefined
}

function readTime(value: unknown): number | undefined {
  return typeof value === 'string' ? readCount(Date.parse(value) / 1000) : readCount(value)
}

function readFirst(fields: JsonObject, names: readonly string[]): number | undefined {
  return names.map((name) => readCount(fields[name])).find((count) => count !== undefined)
}

function readDollars(value: unknown): number | undefined {
  const dollars = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof dollars === 'number' && Number.isFinite(dollars) && dollars >= 0 ? dollars : undefined
}

/** In ms. */
const KEEP_LIST = 600_000, KEEP_FAILURE = 30_000

export interface ModelCatalog {
  /** Never rejects: a backend that does not answer is in `failures`, with one sentence, and not in `models`. */
  read(): Promise<{ models: Map<string, ModelInfo[]>; failures: Map<string, string> }>
}

/**
 * Calls that come while a list is on its way share it.
 * @param limit milliseconds for one backend's answer
 */
export function createModelCatalog(
  backends: readonly Backend[], now: () => number, { limit = 5_000 }: { limit?: number } = {},
): ModelCatalog {
  const entries = new Map<string, { at: number; keep: number; result: Promise<ModelInfo[] | string> }>()

  function ask(backend: Backend): Promise<ModelInfo[] | string> {
    const known = entries.get(backend.id)
    if (known !== undefined && Math.abs(now() - known.at) < known.keep) return known.result // the clock may be set back
    const entry = { at: now(), keep: Infinity, result: fetchOnce(backend, limit) }
    entries.set(backend.id, entry)
    void entry.result.then((result) => {
      entry.at = now()
      entry.keep = typeof result === 'string' ? KEEP_FAILURE : KEEP_LIST
    })
    return entry.result
  }

  return {
    async read() {
      const models = new Map<string, ModelInfo[]>()
      const failures = new Map<string, string>()
      const results = await Promise.all(backends.map(ask))
      for (const [index, backend] of backends.entries()) {
        const result = results[index]
        if (typeof result === 'string') failures.set(backend.id, result)
        else if (result !== undefined) models.set(backend.id, result)
      }
      return { models, failures }
    },
  }
}

async function fetchOnce(backend: Backend, limit: number): Promise<ModelInfo[] | string> {
  const signal = AbortSignal.timeout(limit)
  let sentence = 'the model list could not be read'
  // One key of a pool may be refused or at its limit; each of them sees the same models.
  for (const key of backend.keys.length === 0 ? [undefined] : backend.keys) {
    try {
      return await listModels(backend, key, signal)
    } catch (error) {
      if (signal.aborted) return `no model list within ${limit} ms`
      if (error instanceof DarioError) sentence = error.message
    }
  }
  return sentence
}
