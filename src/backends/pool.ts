/**
 * Which key to ask, in which order: rendezvous order per conversation, resting keys last, until when each rests.
 * The only state that outlives a request; it holds labels, times and counters, never content.
 * @module
 */
import { createHash } from 'node:crypto'
import { readLimits } from './outcome.ts'
import { rank } from './rendezvous.ts'
import type { Backend, Key } from './backend.ts'
import type { Verdict } from './outcome.ts'
import type { IncomingHttpHeaders } from 'node:http'

export interface Candidate {
  backend: Backend
  /** undefined for a backend that needs no key. */
  key: Key | undefined
  model: string
  /** Unix time in ms; 0 when it is not resting. */
  restingUntil: number
  nodeId: string
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
   * In the order in which to try them. `affinity` and `isNew` are asked only when there is a choice: hashing a long
   * prompt is not free.
   */
  candidates(chain: readonly { backend: Backend; model: string }[], affinity: () => string, isNew: () => boolean): Candidate[]
  report(candidate: Candidate, verdict: Verdict): void
  /** Keeps what the vendor says is left, and where the conversation is now. */
  served(candidate: Candidate, headers: IncomingHttpHeaders, affinity: (() => string) | undefined): void
  /** Whether a candidate may be asked although it rests: a down backend gets a trickle, not a storm (pitfall F8). */
  mayProbe(candidate: Candidate): boolean
  states(backend: Backend): KeyState[]
}

interface Rest {
  until: number
  /** Doublings so far. */
  step: number
  reason: string
}

const SECOND = 1000, MINUTE = 60 * SECOND
/** First rest and longest rest, in ms. */
const RESTS: Record<string, readonly [number, number]> = {
  auth: [10 * MINUTE, 10 * MINUTE],
  rate_limited: [SECOND, 5 * MINUTE],
  overloaded: [SECOND, 30 * SECOND],
  unreachable: [SECOND, 30 * SECOND],
}
/** A key with less than this share of a limit left gets no new conversation. */
const LOW_HEADROOM = 0.1
const MOVED_MOST = 10_000
const MOVED_IDLE = 60 * MINUTE
/** Attempts at a resting backend: one per second, ten saved up. */
const PROBES_MOST = 10

/** Vendors whose limits count per model, so that one exhausted model leaves the key's others usable (pitfall F7). */
const LIMITS_BY_MODEL = /(^|\.)(anthropic\.com|openai\.com|groq\.com|googleapis\.com|mistral\.ai)$/

export function createPool(now: () => number, random: () => number = Math.random): Pool {
  const rests = new Map<string, Rest>()
  const headrooms = new Map<string, { share: number; until: number }>()
  const moved = new Map<string, { nodeId: string; used: number }>()
  const probes = new Map<string, { tokens: number; time: number }>()

  function candidates(
    chain: readonly { backend: Backend; model: string }[], affinity: () => string, isNew: () => boolean,
  ): Candidate[] {
    const all = chain.flatMap(({ backend, model }) => order(backend, model, affinity, isNew))
    const resting = all.filter(({ restingUntil }) => restingUntil > 0)
    if (resting.length === 0) return all
    return [...all.filter(({ restingUntil }) => restingUntil === 0), ...resting.sort((a, b) => a.restingUntil - b.restingUntil)]
  }

  function order(backend: Backend, model: string, affinity: () => string, isNew: () => boolean): Candidate[] {
    const keys: readonly (Key | undefined)[] = backend.keys.length === 0 ? [undefined] : backend.keys
    const nodes = keys.map((key) => {
      const nodeId = nodeIdOf(backend, key)
      return { id: nodeId, weight: key?.weight ?? 1, candidate: { backend, key, model, nodeId, restingUntil: restOf(backend, nodeId, model) } }
    })
    if (nodes.length === 1) return nodes.map(({ candidate }) => candidate)
    const name = affinity()
    const ranked = rank(name, nodes).map(({ candidate }) => candidate)
    const home = moved.get(movedName(backend, name))
    const at = home === undefined || now() - home.used > MOVED_IDLE ? -1 : ranked.findIndex(({ nodeId }) => nodeId === home.nodeId)
    if (at > 0) return [...ranked.splice(at, 1), ...ranked]
    // A running conversation stays where its cache is; only a new one looks for room.
    if (at === -1 && isLow(ranked[0]) && isNew()) return [...ranked.filter((one) => !isLow(one)), ...ranked.filter(isLow)]
    return ranked
  }

  function isLow(candidate: Candidate | undefined): boolean {
    const headroom = candidate && headrooms.get(`${candidate.nodeId} ${familyOf(candidate.model)}`)
    return headroom !== undefined && headroom.until > now() && headroom.share < LOW_HEADROOM
  }

  function restOf(backend: Backend, nodeId: string, model: string): number {
    const time = now()
    let until = 0
    for (const name of [backend.id, nodeId, `${nodeId} ${familyOf(model)}`]) {
      const rest = rests.get(name)
      if (rest !== undefined && rest.until > time) until = Math.max(until, rest.until)
    }
    return until
  }

  function report(candidate: Candidate, verdict: Verdict): void {
    const { outcome, retryAfterMs, wholeKey } = verdict
    const bounds = RESTS[outcome]
    if (bounds === undefined) return // `ok` and the client's own mistakes never cool a key (pitfall F4)
    const byModel = outcome === 'rate_limited' && !wholeKey && LIMITS_BY_MODEL.test(candidate.backend.host ?? '')
    const name = outcome === 'unreachable' ? candidate.backend.id
      : byModel ? `${candidate.nodeId} ${familyOf(candidate.model)}` : candidate.nodeId
    const time = now()
    const last = rests.get(name)
    // Parallel refusals of one window count once (pitfall F6); a quiet time as long as the longest rest forgives.
    const sameWindow = last !== undefined && last.until > time
    const forgiven = last === undefined || time - last.until > bounds[1]
    const step = sameWindow ? last.step : forgiven ? 0 : last.step + 1
    const doubled = Math.min(bounds[1], bounds[0] * 2 ** step) * (0.75 + random() / 2)
    const until = time + (retryAfterMs ?? doubled)
    rests.set(name, { until: sameWindow && retryAfterMs === undefined ? last.until : Math.max(until, last?.until ?? 0), step, reason: outcome })
  }

  function served(candidate: Candidate, headers: IncomingHttpHeaders, affinity: (() => string) | undefined): void {
    rests.delete(candidate.backend.id)
    rests.delete(candidate.nodeId)
    rests.delete(`${candidate.nodeId} ${familyOf(candidate.model)}`)
    noteHeadroom(candidate, headers)
    if (affinity === undefined || candidate.backend.keys.length < 2) return
    const name = movedName(candidate.backend, affinity())
    const isHome = moved.has(name) || rank(affinity(), candidate.backend.keys.map((key) => ({ id: nodeIdOf(candidate.backend, key), weight: key.weight })))[0]?.id !== candidate.nodeId
    if (!isHome) return
    moved.delete(name) // set again at the end: a Map keeps insertion order, so the first is the least recently used
    moved.set(name, { nodeId: candidate.nodeId, used: now() })
    const [oldest] = moved.keys()
    if (moved.size > MOVED_MOST && oldest !== undefined) moved.delete(oldest)
  }

  function noteHeadroom(candidate: Candidate, headers: IncomingHttpHeaders): void {
    let share = Infinity
    let until = 0
    for (const { limit, remaining, resetMs } of readLimits(headers, now())) {
      const left = limit === undefined || limit === 0 ? (remaining === 0 ? 0 : 1) : remaining / limit
      if (left < share) {
        share = left
        until = now() + (resetMs ?? MINUTE)
      }
    }
    if (share !== Infinity) headrooms.set(`${candidate.nodeId} ${familyOf(candidate.model)}`, { share, until })
  }

  function mayProbe(candidate: Candidate): boolean {
    if (candidate.restingUntil === 0) return true
    const time = now()
    const last = probes.get(candidate.nodeId) ?? { tokens: PROBES_MOST, time }
    const tokens = Math.min(PROBES_MOST, last.tokens + (time - last.time) / SECOND)
    probes.set(candidate.nodeId, { tokens: Math.max(0, tokens - 1), time })
    return tokens >= 1
  }

  function states(backend: Backend): KeyState[] {
    const time = now()
    return backend.keys.map((key) => {
      const nodeId = nodeIdOf(backend, key)
      const names = [...rests.keys()].filter((name) => name === backend.id || name === nodeId || name.startsWith(`${nodeId} `))
      const name = names.filter((one) => (rests.get(one)?.until ?? 0) > time).sort((a, b) => rests.get(b)!.until - rests.get(a)!.until)[0]
      const rest = name === undefined ? undefined : rests.get(name)
      const shares = [...headrooms].filter(([one, { until }]) => one.startsWith(`${nodeId} `) && until > time).map(([, { share }]) => share)
      return {
        label: key.label,
        state: rest === undefined ? 'ready' : rest.reason === 'auth' ? 'refused' : 'resting',
        until: rest?.until,
        reason: rest?.reason,
        family: name?.startsWith(`${nodeId} `) === true ? name.slice(nodeId.length + 1) : undefined,
        headroom: shares.length === 0 ? undefined : Math.min(...shares),
      }
    })
  }

  return { candidates, report, served, mayProbe, states }
}

const nodeIds = new WeakMap<Key, string>()

/** From the credential itself, so that processes with other labels or another order agree; hashed, so that it can be shown. */
function nodeIdOf(backend: Backend, key: Key | undefined): string {
  if (key === undefined) return `${backend.id}#`
  let id = nodeIds.get(key)
  if (id === undefined) {
    id = `${backend.id}#${createHash('sha256').update(key.value).digest('hex').slice(0, 16)}`
    nodeIds.set(key, id)
  }
  return id
}

const families = new Map<string, string>()

/** `claude-opus-5-20260101` and `claude-opus-5-latest` share their limits; a date or tag makes no other model. */
function familyOf(model: string): string {
  let family = families.get(model)
  if (family === undefined) {
    family = model.replace(/[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)(-v\d+(:\d+)?)?$/, '')
    if (families.size > 1000) families.clear() // names come from clients
    families.set(model, family)
  }
  return family
}

function movedName(backend: Backend, affinity: string): string {
  return `${backend.id} ${affinity}`
}
