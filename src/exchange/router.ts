/**
 * Model name -> chain of backends: prefix, alias, routes, built-in families; and the words why.
 * @module
 */
import { DarioError } from '../errors.ts'

export interface RouteTable {
  /** In the order of the configuration; among discovered ones the plan stands before a metered key. */
  backends: readonly { id: string; type: string; host: string | undefined }[]
  routes: readonly { model: string; to: readonly string[] }[]
  aliases: Readonly<Record<string, string>>
}

export interface Hop {
  backend: string
  model: string
}

export interface Resolution {
  /** Never empty. */
  chain: Hop[]
  /** The pattern of the route that matched, for access keys and the ledger; undefined when none did. */
  route: string | undefined
  /** One sentence per step. */
  reasons: string[]
  /** `[1m]` and the like, taken off for routing (pitfall M1). */
  suffix: string
}

export interface Router {
  /** @throws DarioError `model_not_found` that lists backends and routes. */
  resolve(model: string): Resolution
}

/** Characters; a longer one is somebody's prompt in the wrong place. */
const MAX_NAME = 500
const SUFFIX = /\[[^\]]*\]$/

/** Names that say whose model it is, and which backends can serve it. */
const FAMILIES: readonly { pattern: RegExp; name: string; types: readonly string[]; hosts: readonly string[] }[] = [
  { pattern: /^(claude|opus|sonnet|haiku)/i, name: 'Claude models', types: ['claude-code', 'anthropic'], hosts: [] },
  { pattern: /^(gpt-|o\d|chatgpt-|codex-|text-embedding-|dall-e|gpt|tts-|whisper)/i, name: 'OpenAI models', types: [], hosts: ['api.openai.com'] },
  { pattern: /^gemini-/i, name: 'Gemini models', types: [], hosts: ['generativelanguage.googleapis.com'] },
  { pattern: /^grok-/i, name: 'xAI models', types: [], hosts: ['api.x.ai'] },
  { pattern: /^deepseek-/i, name: 'DeepSeek models', types: [], hosts: ['api.deepseek.com'] },
  { pattern: /^(mistral|ministral|codestral|devstral|magistral)/i, name: 'Mistral models', types: [], hosts: ['api.mistral.ai'] },
  { pattern: /^echo$/, name: 'the built-in echo', types: ['echo'], hosts: [] },
]

export function createRouter(table: RouteTable): Router {
  const ids = new Set(table.backends.map(({ id }) => id))
  const aliases = new Map(Object.entries(table.aliases))

  function resolve(asked: string): Resolution {
    if (asked.length > MAX_NAME) throw notFound(asked)
    const reasons: string[] = []
    const alias = aliases.get(asked) ?? aliases.get(asked.replace(SUFFIX, ''))
    if (alias !== undefined) reasons.push(`${asked.replace(SUFFIX, '')} is an alias of ${alias}`)
    const model = (alias ?? asked).replace(SUFFIX, '')
    const suffix = SUFFIX.exec(asked)?.[0] ?? SUFFIX.exec(alias ?? '')?.[0] ?? ''
    if (suffix !== '') reasons.push(`the suffix ${suffix} does not count for routing`)
    const direct = readPrefix(model)
    if (direct !== undefined) {
      reasons.push(`the prefix names the backend ${direct.backend}`)
      return { chain: [direct], route: undefined, reasons, suffix }
    }
    const route = table.routes.find((route) => matches(route.model.toLowerCase(), model.toLowerCase()))
    if (route !== undefined) {
      reasons.push(`the route "${route.model}" matches`)
      return { chain: route.to.map((target) => readTarget(target, model)), route: route.model, reasons, suffix }
    }
    const backend = findFamily(model, reasons) ?? findOnly(reasons)
    if (backend === undefined) throw notFound(asked)
    return { chain: [{ backend, model }], route: undefined, reasons, suffix }
  }

  function readPrefix(model: string): Hop | undefined {
    const end = model.search(/[:/]/)
    const backend = model.slice(0, end)
    // Exactly one prefix is taken off: OpenRouter's own names contain slashes (pitfall M3).
    return end > 0 && ids.has(backend) && end < model.length - 1 ? { backend, model: model.slice(end + 1) } : undefined
  }

  function readTarget(target: string, model: string): Hop {
    const [backend = '', renamed = model] = target.split(/:(.*)/s)
    return { backend, model: renamed }
  }

  function findFamily(model: string, reasons: string[]): string | undefined {
    const family = FAMILIES.find(({ pattern }) => pattern.test(model))
    if (family === undefined) return undefined
    const fits = table.backends.filter(({ type, host }) => family.types.includes(type) || (host !== undefined && family.hosts.includes(host)))
    const [first, ...others] = fits
    if (first === undefined) return undefined
    reasons.push(`no route matches; ${model} looks like ${family.name}, which ${first.id} serves`)
    if (others.length > 0) reasons.push(`${others.map(({ id }) => id).join(', ')} could too, but only a route makes a chain`)
    return first.id
  }

  function findOnly(reasons: string[]): string | undefined {
    const real = table.backends.filter(({ type }) => type !== 'echo')
    const only = real.length === 0 ? table.backends[0] : real[0]
    if (real.length > 1 || only === undefined) return undefined
    reasons.push(`no route matches; ${only.id} is the only ${real.length === 0 ? '' : 'other '}backend`)
    return only.id
  }

  function notFound(asked: string): DarioError {
    const known = [...ids].join(', ') || 'none'
    const patterns = table.routes.map(({ model }) => model).join(', ') || 'none'
    return new DarioError('model_not_found', `no backend serves the model ${JSON.stringify(asked.slice(0, 100))}. ` +
      `Backends: ${known}; routes: ${patterns}. Write backend:model, or add a route: dario route add MODEL BACKEND`, { path: 'model' })
  }

  return { resolve }
}

/**
 * `*` is any run of characters, `?` one; everything else is itself. No regular expression: with some stars in it, a name
 * that a client makes up could keep one busy for minutes.
 */
function matches(glob: string, name: string): boolean {
  let [at, star, retry] = [0, -1, 0]
  for (let next = 0; next < name.length;) {
    if (glob[at] === '*') {
      star = at++
      retry = next
    } else if (at < glob.length && (glob[at] === '?' || glob[at] === name[next])) {
      at++
      next++
    } else if (star !== -1) {
      at = star + 1 // the last star takes one character more
      next = ++retry
    } else return false
  }
  return /^\**$/.test(glob.slice(at))
}

/** Whether the bare name leads to this backend; else the list shows it with its prefix. */
export function reaches(router: Router, model: string, backend: string): boolean {
  const hop = findHop(router, model)
  return hop?.backend === backend && hop.model === model
}

export function findHop(router: Router, model: string): Hop | undefined {
  try {
    return router.resolve(model).chain[0]
  } catch {
    return undefined // an alias may lead nowhere; requests for it say so
  }
}
