/**
 * The response object: what was asked, echoed as strict clients expect it, and what came of it.
 * https://platform.openai.com/docs/api-reference/responses/object
 * @module
 */
import type { DarioError } from '../../errors.ts'
import type { JsonObject, Usage } from '../../hub/types.ts'
import type { ReplyContext } from '../dialect.ts'
import { optionalObj } from '../read.ts'
import { encodeFailure, encodeUsage } from './wire.ts'

export interface Outcome {
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed'
  output: JsonObject[]
  usage?: Usage | undefined
  /** Why it is incomplete. */
  reason?: string | undefined
  error?: DarioError | undefined
}

/** What a field reads in the answer when the request did not set it. Typed SDKs refuse an answer without them. */
const DEFAULTS: JsonObject = {
  background: false,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: null,
  safety_identifier: null,
  service_tier: 'default',
  store: true,
  temperature: 1,
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
}

export function encodeResponse(context: ReplyContext, id: string, outcome: Outcome): JsonObject {
  const asked = optionalObj(context.request.extra.responses) ?? {}
  const echo = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, asked[key] ?? value]))
  return {
    id,
    object: 'response',
    created_at: context.created,
    status: outcome.status,
    ...echo,
    model: context.model, // M5: as the client wrote it
    reasoning: { effort: null, summary: null, ...optionalObj(asked['reasoning']) },
    text: { format: { type: 'text' }, ...optionalObj(asked['text']) },
    error: outcome.error === undefined ? null : encodeFailure(outcome.error),
    incomplete_details: outcome.reason === undefined ? null : { reason: outcome.reason },
    output: outcome.output,
    usage: outcome.usage === undefined ? null : encodeUsage(outcome.usage),
  }
}
