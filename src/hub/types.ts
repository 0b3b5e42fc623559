/**
 * The hub: the one vocabulary that every dialect decodes into and encodes from.
 * Anthropic-shaped, because its events are the most ordered of the three. A field is here only if two dialects
 * have it with the same meaning; everything else travels as `extra` or as an `opaque` block.
 * @module
 */
import type { DarioError } from '../errors.ts'

export type DialectName = 'anthropic' | 'chat' | 'responses'

export type Json = null | boolean | number | string | Json[] | JsonObject
export interface JsonObject {
  [key: string]: Json | undefined
}

/** Something that the target could not express: `path` in the client's request (or in the answer), and why. */
export interface Warning {
  path: string
  reason: string
}

/** Prompt-cache breakpoint; `ttl` as the client wrote it (`5m`, `1h`). */
export interface CacheHint {
  ttl?: string | undefined
}

export type Source =
  | { type: 'base64'; mediaType: string; data: string }
  | { type: 'url'; url: string }
  | { type: 'text'; mediaType: string; text: string }
  /** A file kept by the vendor that issued the id: only its own dialect may use it. */
  | { type: 'file'; origin: DialectName; id: string }

/**
 * Proof of reasoning: an Anthropic signature or redacted block, a Responses `encrypted_content`.
 * Only its own dialect may read it; it is carried whole or not at all. `id` is the reasoning item's own id.
 */
export interface Seal {
  origin: DialectName
  value: string
  id?: string | undefined
}

export type ToolKind = 'function' | 'custom'

export type Block =
  | { type: 'text'; text: string; cache?: CacheHint | undefined }
  /** The model declined; a text block where the target has no word for it. */
  | { type: 'refusal'; text: string }
  /** `redacted`: there is no text and never was, only the seal. */
  | { type: 'thinking'; text: string; seal?: Seal | undefined; redacted?: boolean | undefined }
  | {
    type: 'media'
    kind: 'image' | 'document' | 'audio'
    source: Source
    name?: string | undefined
    /** OpenAI's `detail` (images). */
    detail?: string | undefined
    cache?: CacheHint | undefined
  }
  /** `input` is the JSON text as it streamed (raw text for a custom tool): parsing would change numbers. */
  | {
    type: 'tool_use'
    id: string
    name: string
    input: string
    kind?: ToolKind | undefined
    namespace?: string | undefined
    cache?: CacheHint | undefined
  }
  | { type: 'tool_result'; toolUseId: string; content: Block[]; isError: boolean; cache?: CacheHint | undefined }
  /** A block that only its own dialect understands (server tools, compaction, citations …). */
  | { type: 'opaque'; origin: DialectName; value: JsonObject }

export type BlockOf<Type extends Block['type']> = Extract<Block, { type: Type }>

export interface Turn {
  role: 'system' | 'user' | 'assistant'
  blocks: Block[]
  /** Where this turn stood in the client's request, for warnings and errors: `messages[3]`. */
  path?: string | undefined
}

/** `path`: where the tool's fields stand in the client's request, for warnings: `tools[3]`. */
export type Tool = { path?: string | undefined } & (
  | {
    type: 'function'
    name: string
    description?: string | undefined
    inputSchema: JsonObject
    strict?: boolean | undefined
    namespace?: string | undefined
    cache?: CacheHint | undefined
  }
  /** Free-form text input (Responses `custom` tools); `format` is the grammar, if any. */
  | { type: 'custom'; name: string; description?: string | undefined; format?: JsonObject | undefined; namespace?: string | undefined }
  | { type: 'web_search' | 'opaque'; origin: DialectName; value: JsonObject }
)

export type ToolChoice =
  | { type: 'auto' }
  | { type: 'none' }
  | { type: 'required' }
  | { type: 'tool'; name: string }

/** `minimal` … `max` are effort words; a budget is in tokens. `adaptive`: the model decides. */
export interface Thinking {
  mode: 'off' | 'on' | 'adaptive'
  effort?: 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max' | undefined
  budget?: number | undefined
  /** The client wants to see the reasoning (or a summary of it); default true when thinking is on. */
  visible?: boolean | undefined
}

export type OutputFormat =
  | { type: 'json_object' }
  | { type: 'json_schema'; name?: string | undefined; description?: string | undefined; schema: JsonObject; strict?: boolean | undefined }

export interface HubRequest {
  model: string
  turns: Turn[]
  tools: Tool[]
  toolChoice?: ToolChoice | undefined
  /** undefined: the client did not say. */
  parallelTools?: boolean | undefined
  /** Output tokens. */
  maxTokens?: number | undefined
  temperature?: number | undefined
  topP?: number | undefined
  stop: string[]
  thinking?: Thinking | undefined
  format?: OutputFormat | undefined
  /** End user's id (`metadata.user_id`, `user`, `safety_identifier`). */
  user?: string | undefined
  /** `prompt_cache_key`, or the session id where the dialect has one. */
  cacheKey?: string | undefined
  serviceTier?: string | undefined
  stream: boolean
  /** The client wants usage in the stream (Chat `stream_options.include_usage`; always true elsewhere). */
  streamUsage: boolean
  /** Fields that the hub has no word for, by the dialect that wrote them. */
  extra: Partial<Record<DialectName, JsonObject>>
}

/** Tokens. `input` excludes cached input; `reasoning` is a part of `output`, `cacheWriteHour` (kept for an hour) of `cacheWrite`. */
export interface Usage {
  input: number
  cacheRead: number
  cacheWrite: number
  cacheWriteHour?: number | undefined
  output: number
  reasoning?: number | undefined
}

export type StopReason =
  | 'end_turn'
  | 'max_tokens'
  | 'stop_sequence'
  | 'tool_use'
  | 'pause_turn'
  | 'refusal'
  | 'model_context_window_exceeded'

/**
 * One answer as a stream. Grammar: `start`, then blocks one after another or interleaved by `index`
 * (`block_start`, any number of `delta` and `seal`, `block_end`), then exactly one `end` or `error`;
 * `ping` anywhere. `delta` is text, thinking or tool input, by the block it belongs to.
 */
export type HubEvent =
  | { type: 'start'; id: string; model: string; usage?: Partial<Usage> | undefined }
  | { type: 'block_start'; index: number; block: Block }
  | { type: 'delta'; index: number; text: string }
  | { type: 'seal'; index: number; seal: Seal }
  | { type: 'block_end'; index: number }
  | { type: 'end'; stop: StopReason; rawStop?: string | undefined; stopSequence?: string | undefined; usage: Usage }
  | { type: 'ping' }
  | { type: 'error'; error: DarioError; usage?: Partial<Usage> | undefined }

/** A whole answer, folded from its events. */
export interface HubReply extends Omit<Extract<HubEvent, { type: 'end' }>, 'type'> {
  id: string
  model: string
  blocks: Block[]
}
