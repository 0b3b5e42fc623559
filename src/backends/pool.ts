/**
 * Which key to ask, in which order: rendezvous order per conversation, resting keys last, until when each rests.
 * The only state that outlives a request; it holds labels, times and counters, never content.
 * @module
 */
import { createHash } from 'node:crypto'
import { remember } from '../hub/memo.ts'
import { readLimits, readTime } from './outcome.ts'
import { createRanking } from './rendezvous.ts'
import type { Node } from './rendezvous.ts'
import type { Backend, Key } from './backend.ts'
import type { Verdict } from './outcome.ts'
import type { IncomingHttpHeaders } from 'node:http'

export interface Candidate {
  backend: Backend
  /** undefined for a backend that needs no key. */
  key: Key | undefined
  model: string
  /** Unix time in ms; 0 when it was not resting as it was taken. */
  restingUntil: number
  nodeId: string
  /** What its limits are counted by: the key, or the key and a family of models. */
  limitId: string
  /** Name of the conversation, where it had a choice of keys. */
  conversation: string | undefined
  /** The conversation's first choice when all is well. */
  isHome: boolean
}

export interface KeyState {
  label: string
  state: 'ready' | 'resting' | 'refused'
  /** Unix time in ms. */
  until: number | undefined
  /** Outcome that sent it to rest. */
  reason: string | undefined
  /** Model family, when only that one rests. */
  family: string | undefined
  /** The smallest share of a limit that is left, 0 to 1; undefined when the vendor does not say. */
  headroom: number | undefined
}

export interface Pool {
  /**
   * In the order of preference. `affinity` and `isNew` are asked only when there is a choice: hashing a long prompt is
   * not free.
   */
  candidates(chain: readonly { backend: Backend; model: string }[], affinity: () => string, isNew: () => boolean): Candidate[]
  /**
   * Takes the best candidate out of `waiting`, as things are now: other requests may have learned something. Resting
   * ones come last, in the order in which they wake. Only the first attempt of a request is free; a retry at a resting
   * candidate needs budget, so that a down vendor gets a trickle and no storm (pitfall F8).
   */
  take(waiting: Candidate[], isFirst: boolean): Candidate | undefined
  report(candidate: Candidate, verdict: Verdict): void
  /** It answers: its rest is over. With `stays` the conversation is remembered there. */
  served(candidate: Candidate, headers: IncomingHttpHeaders, stays: boolean): void
  /** Milliseconds until the first of them wakes; 0 when one is awake. */
  wait(candidates: readonly Candidate[]): number
  states(backend: Backend): KeyState[]
}

interface Rest {
  /** A rest that begins in the future is none: the clock was set back, and would add as much to it. */
  since: number
  until: number
  /** Doublings so far. */
  step: number
  reason: string
}

const SECOND = 1000, MINUTE = 60 * SECOND, DAY = 1440 * MINUTE
/** First rest and longest rest, in ms. */
const RESTS: Record<string, readonly [number, number]> = {
  auth: [10 * MINUTE, 10 * MINUTE],
  rate_limited: [SECOND, 5 * MINUTE],
  overloaded: [SECOND, 30 * SECOND],
  unreachable: [SECOND, 30 * SECOND],
}
/** A key with less than this share of a limit left gets no new conversation. */
const LOW_HEADROOM = 0.1
const MOVED_IDLE = 60 * MINUTE
/** Entries per map: names of models and conversations come from clients (pitfall G8). */
const MOST = 10_000
/**
 * Retries at a resting candidate: after ten failures without an answer between them, one per second. Failures within
 * 100 ms count once, so that a short outage under heavy traffic is not taken for a vendor that is down.
 */
const RETRIES = 10, RETRY_WINDOW = 100

/** Vendors whose limits count per model, so that one exhausted model leaves the key's others usable (pitfall F7). */
const LIMITS_BY_MODEL = /(^|\.)(anthropic\.com|openai\.com|groq\.com|googleapis\.com|mistral\.ai)$/

export function createPool(now: () => number, random: () => number = Math.random): Pool {
  const nodeIds = new WeakMap<Key, string>()
  const rankings = new WeakMap<readonly Key[], (conversation: string) => readonly (Node & { key: Key })[]>()
  const rests = new Map<string, Rest>()
  const headrooms = new Map<string, { share: number; until: number }>()
  const moved = new Map<string, { nodeId: string; used: number }>()
  const retries = new Map<string, { left: number; time: number }>()

  function order({ backend, model }: { backend: Backend; model: string }, affinity: () => string, isNew: () => boolean): Candidate[] {
    const { keys } = backend
    const family = familyOf(backend, model)
    const toCandidate = (key: Key | undefined, nodeId: string, conversation: string | undefined, isHome: boolean): Candidate => (
      { backend, key, model, nodeId, limitId: nodeId + family, restingUntil: 0, conversation, isHome })
    if (keys.length < 2) return [toCandidate(keys[0], nodeIdOf(backend, keys[0]), undefined, true)]
    const conversation = `${backend.id} ${affinity()}`
    const ranked = rankKeys(backend, conversation).map(({ id, key }, index) => toCandidate(key, id, conversation, index === 0))
    const home = moved.get(conversation)
    const at = home === undefined || now() - home.used > MOVED_IDLE ? -1 : ranked.findIndex(({ nodeId }) => nodeId === home.nodeId)
    if (at !== -1) return [...ranked.splice(at, 1), ...ranked]
    // A running conversation stays where its cache is; only a new one looks for room.
    return isLow(ranked[0]!) && isNew() ? [...ranked.filter((one) => !isLow(one)), ...ranked.filter(isLow)] : ranked
  }

  function rankKeys(backend: Backend, conversation: string): readonly (Node & { key: Key })[] {
    const ranking = rankings.get(backend.keys) ?? createRanking(backend.keys.map((key) => ({ id: nodeIdOf(backend, key), weight: key.weight, key })))
    rankings.set(backend.keys, ranking)
    return ranking(conversation)
  }

  /** From the credential itself, so that processes with other labels or another order agree. */
  function nodeIdOf(backend: Backend, key: Key | undefined): string {
    if (key === undefined) return `${backend.id}#`
    let id = nodeIds.get(key)
    if (id === undefined) nodeIds.set(key, id = `${backend.id}#${createHash('sha256').update(key.value).digest('hex').slice(0, 16)}`)
    return id
  }

  function isLow(candidate: Candidate): boolean {
    const headroom = headrooms.get(candidate.limitId)
    return headroom !== undefined && headroom.until > now() && headroom.share < LOW_HEADROOM
  }

  /** What may rest: the backend, the key, the key for one family of models. Mostly nothing does. */
  function namesOf({ backend, nodeId, limitId }: Candidate): readonly string[] {
    return rests.size === 0 ? [] : [backend.id, nodeId, limitId]
  }

  function restOf(candidate: Candidate): number {
    let until = 0
    for (const name of namesOf(candidate)) until = Math.max(until, endOf(rests.get(name), now()))
    return until
  }

  function retriesLeft(nodeId: string): number {
    const { left, time } = retries.get(nodeId) ?? { left: RETRIES, time: 0 }
    return Math.min(RETRIES, left + Math.max(0, now() - time) / SECOND)
  }

  function take(waiting: Candidate[], isFirst: boolean): Candidate | undefined {
    let best = -1
    let soonest = Infinity
    for (let index = 0; index < waiting.length; index++) {
      const until = restOf(waiting[index]!)
      if (until >= soonest || (until > 0 && !isFirst && retriesLeft(waiting[index]!.nodeId) < 1)) continue
      [best, soonest] = [index, until]
      if (until === 0) break
    }
    const [taken] = best === -1 ? [] : waiting.splice(best, 1)
    return taken && { ...taken, restingUntil: soonest }
  }

  function report(candidate: Candidate, { outcome, retryAfterMs, wholeKey }: Verdict): void {
    const bounds = RESTS[outcome]
    if (bounds === undefined) return // `ok` and the client's own mistakes never cool a key (pitfall F4)
    const time = now()
    const { nodeId, backend } = candidate
    const isApart = Math.abs(time - (retries.get(nodeId)?.time ?? 0)) >= RETRY_WINDOW
    if (isApart) remember(retries, nodeId, { left: Math.max(0, retriesLeft(nodeId) - 1), time }, MOST)
    const name = outcome === 'unreachable' ? backend.id : outcome === 'rate_limited' && !wholeKey ? candidate.limitId : nodeId
    const last = rests.get(name)
    const again = last?.reason === outcome ? last : undefined
    // Parallel refusals of one window count once (pitfall F6); a quiet time as long as the longest rest forgives.
    const inWindow = endOf(again, time) > 0
    if (inWindow && !retryAfterMs) return
    const step = again === undefined || time - again.until > bounds[1] ? 0 : again.step + (inWindow ? 0 : 1)
    const doubled = Math.min(bounds[1], bounds[0] * 2 ** step) * (outcome === 'auth' ? 1 : 1 - random() / 4)
    const until = time + (retryAfterMs ? Math.min(retryAfterMs, DAY) : doubled)
    if (until > endOf(last, time)) remember(rests, name, { since: time, until, step, reason: outcome }, MOST)
  }

  function served(candidate: Candidate, headers: IncomingHttpHeaders, stays: boolean): void {
    // An answer that was under way when a rest began says nothing against it: only who was asked in spite of it does.
    const known = Math.max(now(), candidate.restingUntil)
    for (const name of namesOf(candidate)) if ((rests.get(name)?.until ?? Infinity) <= known) rests.delete(name)
    retries.delete(candidate.nodeId)
    noteHeadroom(candidate, headers)
    const { conversation, nodeId, isHome } = candidate
    if (!stays || conversation === undefined) return
    // The new key is the pin for as long as it is in use, else the next turn goes cold again (pitfalls G4, G7).
    if (isHome) moved.delete(conversation)
    else remember(moved, conversation, { nodeId, used: now() }, MOST)
  }

  function noteHeadroom(candidate: Candidate, headers: IncomingHttpHeaders): void {
    const [least] = readLimits(headers).map(({ limit, remaining, reset }) => (
      { share: limit ? remaining / limit : Math.min(remaining, 1), reset })).sort((a, b) => a.share - b.share)
    if (least === undefined) return
    remember(headrooms, candidate.limitId, { share: least.share, until: now() + (readTime(least.reset, now()) ?? MINUTE) }, MOST)
  }

  function stateOf(backend: Backend, key: Key): KeyState {
    const time = now()
    const nodeId = nodeIdOf(backend, key)
    const ofKey = (name: string): boolean => name === nodeId || name.startsWith(`${nodeId} `)
    const [found] = [...rests].filter(([name, rest]) => endOf(rest, time) > 0 && (name === backend.id || ofKey(name)))
      .sort(([, a], [, b]) => b.until - a.until)
    const shares = [...headrooms].filter(([name, { until }]) => until > time && ofKey(name)).map(([, { share }]) => share)
    const [name, rest] = found ?? []
    return {
      label: key.label,
      state: rest === undefined ? 'ready' : rest.reason === 'auth' ? 'refused' : 'resting',
      until: rest?.until,
      reason: rest?.reason,
      family: name?.slice(nodeId.length + 1) || undefined,
      headroom: shares.length === 0 ? undefined : Math.min(...shares),
    }
  }

  return {
    candidates: (chain, affinity, isNew) => chain.flatMap((hop) => order(hop, affinity, isNew)),
    take, report, served,
    wait: (candidates) => Math.max(0, Math.min(...candidates.map(restOf)) - now()),
    states: (backend) => backend.keys.map((key) => stateOf(backend, key)),
  }
}

/** Unix time in ms; 0 when it is over. */
function endOf(rest: Rest | undefined, time: number): number {
  return rest !== undefined && rest.since <= time && rest.until > time ? rest.until : 0
}

/**
 * '' where the whole key is limited. `claude-opus-5-20260101` and `claude-opus-5-latest` share their limits: a date or
 * tag makes no other model.
 */
function familyOf({ type, host }: Backend, model: string): string {
  if (type !== 'claude-code' && !LIMITS_BY_MODEL.test(host ?? '')) return ''
  return ` ${model.slice(0, 200).replace(/[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)(-v\d+(:\d+)?)?$/, '')}`
}
