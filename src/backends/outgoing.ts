/**
 * What a request to an HTTP backend looks like: its path below the backend's root and its headers with the credential.
 * https://docs.anthropic.com/en/api/versioning, https://platform.openai.com/docs/api-reference/authentication
 * @module
 */
import type { BackendConfig } from '../config/types.ts'
import { DarioError } from '../errors.ts'
import type { Call, Key } from './backend.ts'
import { WRITABLE, mergeBetas, toHeaderValue } from './headers.ts'
import { toProxyAuthorization } from './proxies.ts'
import type { Environment } from './proxies.ts'

export interface HttpBackendOptions extends Pick<BackendConfig, 'speaks' | 'keys' | 'timeouts' | 'headers' | 'dropBetas'> {
  id: string
  type: 'anthropic' | 'openai'
  /** Root of the API, with or without `/v1` and a trailing slash. */
  baseUrl: string
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
function createPathRule(type: HttpBackendOptions['type'], base: URL, absolute: boolean): (path: string) => string {
  const root = base.pathname.replace(/\/+$/, '')
  const versioned = type === 'openai' ? /\/v\d\w*(\/|$)/.test(root) : root.endsWith('/v1')
  const prefix = (absolute ? base.origin : '') + root
  return (path) => prefix + (versioned ? path.slice('/v1'.length) : path)
}

/** What may stand in a head: a line break would begin a header, or a request, of somebody else's making. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const TARGET = /^[\x21-\x7e\x80-\xff]+$/

/**
 * The head of a request as it goes over the wire, up to its blank line. https://www.rfc-editor.org/rfc/rfc9112#section-3
 * The returned function throws DarioError `invalid_request` or `config_invalid` for what HTTP does not allow.
 */
export function createHeadRule(
  options: HttpBackendOptions, base: URL, proxy: URL | undefined,
): (call: Call, key: Key | undefined) => string {
  const toPath = createPathRule(options.type, base, proxy !== undefined)
  const own = new Map(Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), toHeaderValue(value)]))
  const ownBetas = own.get('anthropic-beta')
  own.delete('anthropic-beta')
  for (const name of ['connection', 'content-length', 'transfer-encoding']) own.delete(name) // ours to say, and once
  const [credential, scheme] = options.type === 'anthropic' ? ['x-api-key', ''] : ['authorization', 'Bearer ']
  const authorization = proxy === undefined ? undefined : toProxyAuthorization(proxy)
  const agent = `dario/${options.version}`
  const isValid = [...own.keys()].every((name) => NAME.test(name))
  const fixed = [...new Map([
    // identity: what comes is what the client gets, byte for byte, and readers have nothing to undo (pitfalls X1, X2).
    ['host', base.host], ['connection', 'keep-alive'], ['accept-encoding', 'identity'], ...own,
    ...(authorization === undefined ? [] : [['proxy-authorization', authorization] as const]),
  ])].map(([name, value]) => `${name}: ${value}\r\n`).join('')

  function line(name: string, value: string): string {
    if (WRITABLE.test(value)) return `${name}: ${value}\r\n`
    throw toFault()
  }
  /** Without the value: it may be the key. */
  function toFault(): DarioError {
    return new DarioError('config_invalid', `the key or a header of backends.${options.id} holds a character that HTTP does not allow`)
  }

  return (call, key) => {
    const path = toPath(call.path)
    if (!isValid) throw toFault()
    if (!TARGET.test(path)) throw new DarioError('invalid_request', 'the path of the request holds a character that HTTP does not allow')
    let head = `${call.method} ${path} HTTP/1.1\r\n${fixed}`
    for (const name in call.headers) {
      if (name !== 'user-agent' && name !== 'anthropic-beta' && !own.has(name)) head += line(name, call.headers[name]!)
    }
    const client = call.headers['user-agent']
    if (!own.has('user-agent')) head += line('user-agent', client === undefined ? agent : `${agent} (${client})`)
    if (call.dialect === 'anthropic') {
      const betas = mergeBetas(call.headers['anthropic-beta'], ownBetas, options.dropBetas)
      if (betas !== undefined) head += line('anthropic-beta', betas)
      if (call.headers['anthropic-version'] === undefined && !own.has('anthropic-version')) {
        head += line('anthropic-version', ANTHROPIC_VERSION)
      }
    }
    if (key !== undefined && key.value !== '' && !own.has(credential)) head += line(credential, scheme + key.value)
    if (call.body !== undefined || call.method === 'POST') head += `content-length: ${Buffer.byteLength(call.body ?? '')}\r\n`
    return `${head}\r\n`
  }
}
