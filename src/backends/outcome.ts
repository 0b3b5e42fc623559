/**
 * What an upstream's answer means for its key: status first, body second (pitfall E5), and until when to rest.
 * Sources: Anthropic API "Rate limits" and "Errors", OpenAI API "Rate limits" and "Error codes", RFC 9110 section 10.2.3.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { DarioError } from '../errors.ts'
import { createMemo } from '../hub/memo.ts'
import type { Outcome } from './backend.ts'

export interface Verdict {
  outcome: Outcome
  /** Milliseconds that the vendor asked for. */
  retryAfterMs?: number | undefined
  /** The limit is of the whole account (money, quota), not of one model. */
  wholeKey: boolean
}

/** Vendors dress an empty purse as 400, 402, 403 or 429 (pitfall E6). Whole phrases: an error may quote its request. */
const QUOTA = new RegExp([
  'insufficient[_ ](?:balance|quota|funds|credits?)', 'credit balance is too low', 'exceeded[_ ](?:your[_ ])?current[_ ]quota',
  'quota[_ ]exceeded', 'billing_(?:hard_limit_reached|not_active)', 'out of credits', 'payment required', 'api usage limits?',
  '(?:spending|key) limit', 'arrearage', 'in good standing',
].join('|'), 'i')

/** A 403 for what the client wrote (OpenRouter): the key is good (pitfall F4). */
const FLAGGED = /"flagged_input"|\binput was flagged\b/

/** A word in an error that means load, whatever the status says. */
const OVERLOAD = /overloaded|capacity|temporarily unavailable|try again later/i

export function judge(status: number, headers: IncomingHttpHeaders, text: string, now: number): Verdict {
  const retryAfterMs = readRetryAfter(headers, now) ?? readAdvice(text, now)
  switch (true) {
    case status >= 200 && status < 300: return { outcome: 'ok', wholeKey: false }
    case status === 429: return { outcome: 'rate_limited', retryAfterMs, wholeKey: QUOTA.test(text) }
    case status === 402 || ((status === 400 || status === 403) && QUOTA.test(text)): return { outcome: 'rate_limited', retryAfterMs, wholeKey: true }
    case status === 403 && FLAGGED.test(text): return { outcome: 'client_error', wholeKey: false }
    case status === 401 || status === 403: return { outcome: 'auth', wholeKey: true }
    case status === 408 || status >= 500: return { outcome: 'overloaded', retryAfterMs, wholeKey: false }
    case status >= 300 && status < 400: return { outcome: 'unreachable', wholeKey: false }
    default: return { outcome: 'client_error', wholeKey: false }
  }
}

/** An error without a status: the connection's own, or an event inside a 200 stream (pitfall F1). */
export function judgeError(error: DarioError): Verdict {
  if (isBroken(error)) return { outcome: 'unreachable', wholeKey: false }
  const text = `${error.upstreamType ?? ''} ${error.message}`
  const retryAfterMs = error.retryAfterMs
  if (error.status === 429 || QUOTA.test(text)) return { outcome: 'rate_limited', retryAfterMs, wholeKey: QUOTA.test(text) }
  if (OVERLOAD.test(text)) return { outcome: 'overloaded', retryAfterMs, wholeKey: false }
  if (error.status === 401 || error.status === 403) return { outcome: 'auth', wholeKey: true }
  if (error.status < 500) return { outcome: 'client_error', wholeKey: false }
  return { outcome: 'overloaded', retryAfterMs, wholeKey: false }
}

/** No word of the upstream's: it was not reached, fell silent, broke off or spoke something else than its API. */
export function isBroken({ code, upstreamType }: DarioError): boolean {
  return upstreamType === undefined && (code === 'upstream_unreachable' || code === 'upstream_timeout' || code === 'upstream_protocol')
}

/** `retry-after-ms`, `retry-after` (seconds or a date), else the latest reset of a limit that has nothing left. */
export function readRetryAfter(headers: IncomingHttpHeaders, now: number): number | undefined {
  const milliseconds = readTime(`${headers['retry-after-ms'] ?? ''}ms`, now)
  const asked = milliseconds ?? readTime(headers['retry-after'] ?? '', now)
  if (asked !== undefined) return asked
  const waits = readLimits(headers).filter(({ remaining }) => remaining === 0).map(({ reset }) => readTime(reset, now) ?? 0)
  return Math.max(0, ...waits) || undefined
}

interface Limit {
  limit: number | undefined
  remaining: number
  /** As the vendor writes it; '' when it does not. */
  reset: string
}

/** Gemini (`"retryDelay": "30s"`), OpenAI and Groq ("Please try again in 7.66s") say it in the body. */
function readAdvice(text: string, now: number): number | undefined {
  const [, delay, words] = /"retryDelay":\s*"([\d.]+s)"|try again in ((?:[\d.]+(?:ms|[dhms]))+)/i.exec(text) ?? []
  return readTime(delay ?? words ?? '', now)
}

/** `anthropic-ratelimit-{what}-remaining`, `x-ratelimit-remaining-{what}`, vendors' bare `x-ratelimit-remaining`, and the IETF draft's. */
export function readLimits(headers: IncomingHttpHeaders): Limit[] {
  const limits: Limit[] = []
  for (const name in headers) {
    const names = toLimitNames(name)
    if (names === false) continue
    const remaining = String(headers[name])
    if (!/^\d+(\.\d+)?$/.test(remaining)) continue
    const limit = Number(headers[names.limit] ?? '') || undefined
    limits.push({ limit, remaining: Number(remaining), reset: String(headers[names.reset] ?? '') })
  }
  return limits
}

/** Where the rest of the limit stands of which this header may be a part. */
const toLimitNames = createMemo((name) => name.includes('ratelimit-') && name.includes('remaining')
  && { limit: name.replace('remaining', 'limit'), reset: name.replace('remaining', 'reset') })

const UNIT = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** No time is longer, and a search for units in a megabyte of digits would last for minutes. */
const MAX_TIME_CHARS = 64

/** Seconds (`20`, `0.5`), Unix time in s or ms, `1m30.5s` / `6ms` (OpenAI), an RFC 3339 or HTTP date. In ms from now. */
export function readTime(text: string, now: number): number | undefined {
  const value = text.trim()
  if (value.length > MAX_TIME_CHARS) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) {
    const number = Number(value)
    if (number > 1e11) return Math.max(0, number - now)
    return Math.max(0, number > 1e8 ? number * 1000 - now : number * 1000)
  }
  if (/^\d{4}-\d\d-\d\d/.test(value)) return readDate(value, now)
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (parts.length > 0 && parts.map(([part]) => part).join('') === value) {
    return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNIT[unit as keyof typeof UNIT], 0)
  }
  if (!/[a-z]/i.test(value)) return undefined
  // The oldest of HTTP's three date forms (asctime) names no zone, and means UTC like the others.
  return readDate(/^[a-z]{3} [a-z]{3} .*\d$/i.test(value) ? `${value} GMT` : value, now)
}

function readDate(text: string, now: number): number | undefined {
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
