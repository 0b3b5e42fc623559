/**
 * What Claude models differ in, read from their names; a name that says nothing is taken for a compatible server.
 * @see https://docs.claude.com/en/docs/about-claude/models/overview
 * @module
 */

export interface Family {
  /** 4.6 for `claude-opus-4-6`; undefined for models that are not Claude. */
  version: number | undefined
  /** How reasoning is asked for: a budget in tokens, an effort word, or not at all. */
  thinking: 'none' | 'budget' | 'adaptive'
  /** Whether temperature and top_p are accepted: both, one of them, or none. */
  sampling: 'both' | 'one' | 'none'
  /** `output_config.format` works. */
  format: boolean
  /** The conversation may end in an assistant turn. */
  prefill: boolean
  /** The effort `xhigh` exists. */
  xhigh: boolean
  /** Output token ceiling, for requests that name none (pitfall B7). */
  maxTokens: number
}

export function readFamily(model: string): Family {
  const named = /(opus|sonnet|haiku)-(\d)(?:[-.](\d{1,2}))?(?!\d)/.exec(model) // claude-opus-4-6, claude-sonnet-5
  const early = /claude-(\d)(?:[-.](\d))?-(opus|sonnet|haiku)/.exec(model) // claude-3-5-sonnet-20241022
  const tier = named?.[1] ?? early?.[3] ?? /opus|sonnet|haiku/.exec(model)?.[0]
  const alias = tier === 'haiku' ? 4.5 : tier !== undefined || model.startsWith('claude') ? 5 : undefined // the newest
  const [, , major, minor] = named ?? [undefined, undefined, early?.[1], early?.[2]]
  const version = major === undefined ? alias : Number(major) + Number(minor ?? 0) / 10
  const since = (least: number): boolean => version !== undefined && version >= least
  return {
    version,
    thinking: since(4.6) ? 'adaptive' : version === undefined || since(3.7) ? 'budget' : 'none',
    sampling: since(4.7) ? 'none' : since(4.1) ? 'one' : 'both',
    format: since(4.5),
    prefill: !since(4.6),
    xhigh: since(4.7),
    maxTokens: readCeiling(version, tier),
  }
}

function readCeiling(version: number | undefined, tier: string | undefined): number {
  if (version === undefined || version < 3.7) return version !== undefined && version < 3.5 ? 4096 : 8192
  if (tier === 'opus') return version >= 4.6 ? 128_000 : version >= 4.5 ? 64_000 : 32_000
  return version >= 5 && tier === 'sonnet' ? 128_000 : 64_000
}
