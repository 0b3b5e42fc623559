/**
 * What a request to an HTTP backend looks like: its path below the backend's root and its headers with the credential.
 * https://docs.anthropic.com/en/api/versioning, https://platform.openai.com/docs/api-reference/authentication
 * @module
 */
import type { DialectName } from '../hub/types.ts'
import type { Call, Key } from './backend.ts'
import { mergeBetas, toHeaderValue } from './headers.ts'
import { toProxyAuthorization } from './proxies.ts'
import type { Environment } from './proxies.ts'

export interface HttpBackendOptions {
  id: string
  type: 'anthropic' | 'openai'
  /** Root of the API, with or without `/v1` and a trailing slash. */
  baseUrl: string
  speaks: readonly DialectName[]
  keys: readonly Key[]
  /** Milliseconds. */
  timeouts: { connect: number; firstByte: number; silence: number }
  /** Extra request headers; they win over the client's. */
  headers: Readonly<Record<string, string>>
  /** `anthropic-beta` tokens that are never sent. */
  dropBetas: readonly string[]
  /** dario's own version. */
  version: string
  /** Where the proxy variables are. */
  environment: Environment
}

/** Current as of every Anthropic SDK; sent when the client named none. */
const ANTHROPIC_VERSION = '2023-06-01'
/**
 * Path of a request: the root's own, then the call's without doubling the version (pitfall X10). OpenAI's convention is
 * a root that ends in its version (`/v1`, Gemini's `/v1beta/openai`), Anthropic's is one without; both are understood.
 * An http upstream behind a proxy is asked for by its whole URL.
 */
export function createPathRule(
  type: HttpBackendOptions['type'], base: URL, absolute: boolean,
): (path: string) => string {
  const root = base.pathname.replace(/\/+$/, '')
  const versioned = type === 'openai' ? /\/v\d\w*(\/|$)/.test(root) : root.endsWith('/v1')
  const prefix = (absolute ? base.origin : '') + root
  return (path) => prefix + (versioned ? path.slice('/v1'.length) : path)
}

/** Request headers as Node's flat list: half the cost of an object, which Node would copy into a map first. */
export function createHeaderRule(
  options: HttpBackendOptions, base: URL, proxy: URL | undefined,
): (call: Call, key: Key | undefined) => string[] {
  const configured = Object.entries(options.headers)
  const own = new Map(configured.map(([name, value]) => [name.toLowerCase(), toHeaderValue(value)]))
  const ownBetas = own.get('anthropic-beta')
  own.delete('anthropic-beta')
  // identity: what comes is what the client gets, byte for byte, and readers have nothing to undo (pitfalls X1, X2).
  const fixed = ['host', base.host, 'accept-encoding', 'identity', ...[...own].flat()]
  const authorization = proxy === undefined ? undefined : toProxyAuthorization(proxy)
  if (authorization !== undefined) fixed.push('proxy-authorization', authorization)
  return (call, key) => {
    const headers = fixed.slice()
    for (const name in call.headers) {
      if (name === 'user-agent' || name === 'anthropic-beta' || own.has(name)) continue
      headers.push(name, call.headers[name] as string)
    }
    if (!own.has('user-agent')) headers.push('user-agent', toUserAgent(options.version, call.headers['user-agent']))
    if (call.dialect === 'anthropic') {
      const betas = mergeBetas(call.headers['anthropic-beta'], ownBetas, options.dropBetas)
      if (betas !== undefined) headers.push('anthropic-beta', betas)
      if (call.headers['anthropic-version'] === undefined && !own.has('anthropic-version')) {
        headers.push('anthropic-version', ANTHROPIC_VERSION)
      }
    }
    if (key !== undefined && key.value !== '') {
      if (options.type === 'anthropic') headers.push('x-api-key', key.value)
      else headers.push('authorization', `Bearer ${key.value}`)
    }
    if (call.body !== undefined) headers.push('content-length', String(call.body.length))
    return headers
  }
}

function toUserAgent(version: string, client: string | undefined): string {
  return client === undefined ? `dario/${version}` : `dario/${version} (${client})`
}
