/**
 * The door: who may talk to dario at all. A loopback port is reachable from every web page in the user's browser, so
 * Host (DNS rebinding), Origin and Sec-Fetch-Site (cross-site requests) are checked before anything else.
 * https://www.rfc-editor.org/rfc/rfc9110#name-host-and-authority
 * @module
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AccessKeyConfig, Config } from '../config/types.ts'
import { DarioError } from '../errors.ts'

export type GuardSettings = Pick<Config, 'allowedHosts' | 'allowedOrigins' | 'accessKeys'>

/** Where a request comes from. */
export interface Source {
  /** By the socket's address, never by a header (pitfall Z7). */
  loopback: boolean
  /** The configured Origin that sent it; undefined for everything that is not a web page. */
  origin: string | undefined
  /** A browser asks whether it may send the real request; never carries a key. */
  preflight: boolean
}

export interface Guard {
  /** @throws DarioError `permission` for a foreign Host, Origin or site; `invalid_request` for over 200 headers. */
  checkSource(request: IncomingMessage): Source
  /**
   * Returns the access key that came with the request; undefined when none is configured.
   * @throws DarioError `authentication` for a missing or wrong key, also when nobody may come from outside at all.
   */
  checkKey(request: IncomingMessage): { name: string; routes?: string[] | undefined } | undefined
}

const LOOPBACK_ADDRESS = /^(?:(?:::ffff:)?127(?:\.\d{1,3}){3}|::1)$/i
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i
const LITERAL_HOST = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i
/** Node stops filling `headers` at 1,000 names and only tells `rawHeaders`: a check of ours must not miss one. */
const MAX_HEADERS = 200

export function isLoopbackAddress(address: string | undefined): boolean {
  return address !== undefined && LOOPBACK_ADDRESS.test(address)
}

/** Text from a request made fit for a message: printable, at most 100 characters (pitfall E9). */
export function toPrintable(text: string): string {
  return text.slice(0, 100).replace(/[^\x20-\x7e]/g, '?')
}

/** @param boundToLoopback only this machine can reach the port */
export function createGuard(settings: () => GuardSettings, boundToLoopback: boolean): Guard {
  return {
    checkSource(request) {
      const { allowedHosts, allowedOrigins } = settings()
      checkHost(request, allowedHosts, boundToLoopback)
      const { origin, 'sec-fetch-site': site } = request.headers
      const allowed = allowedOrigins.some((entry) => entry.toLowerCase() === origin?.toLowerCase())
      if (origin !== undefined && !allowed) {
        throw new DarioError('permission', `Web pages may not use dario, and this request has the Origin `
          + `"${toPrintable(origin)}"; if you trust it, add exactly that to "allowedOrigins" in the configuration`)
      }
      // Images, forms and no-cors fetches of a page carry no Origin, but every current browser sends this one.
      if (!allowed && (site === 'cross-site' || site === 'same-site')) {
        throw new DarioError('permission', 'This request was made by a web page of another site; open the address '
          + 'yourself, or add the page\'s origin to "allowedOrigins" in the configuration')
      }
      const preflight = allowed && request.method === 'OPTIONS' && 'access-control-request-method' in request.headers
      const loopback = isLoopbackAddress(request.socket.remoteAddress)
      return { loopback, origin: allowed ? origin : undefined, preflight }
    },
    checkKey(request) {
      const { accessKeys } = settings()
      if (accessKeys.length > 0) return findKey(request, accessKeys)
      // The last key can vanish from the configuration while the port is open to the network (pitfall Z4).
      if (isLoopbackAddress(request.socket.remoteAddress)) return undefined
      throw new DarioError('authentication', 'dario has no access key, so it serves this machine only; '
        + 'make one there with `dario key add NAME`')
    },
  }
}

function checkHost(request: IncomingMessage, allowed: readonly string[], boundToLoopback: boolean): void {
  if (request.httpVersionMajor !== 1) {
    throw new DarioError('invalid_request', 'dario speaks HTTP/1.1; set the client to it', { status: 505 })
  }
  const raw = request.rawHeaders
  if (raw.length > 2 * MAX_HEADERS) {
    throw new DarioError('invalid_request', `Over ${MAX_HEADERS} request headers; send fewer`, { status: 431 })
  }
  if ('inMemory' in request.socket) return // no name led there that could be rebound
  const hosts: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    if (raw[index]?.length === 4 && raw[index]?.toLowerCase() === 'host') hosts.push(raw[index + 1] ?? '')
  }
  const host = hosts[0]?.toLowerCase() ?? ''
  if (hosts.length === 1) {
    if (LOOPBACK_HOST.test(host)) return
    // Rebinding needs a name, so on an open port (which has access keys) a bare address is as good as ours.
    if (!boundToLoopback && LITERAL_HOST.test(host)) return
    const bare = host.replace(/:\d{1,5}$/, '')
    if (allowed.some((entry) => entry.toLowerCase() === host || entry.toLowerCase() === bare)) return
  }
  throw new DarioError('permission', hosts.length === 1
    ? `dario does not answer to the Host "${toPrintable(host)}"; use localhost, or add that name to "allowedHosts" `
      + 'in the configuration'
    : 'A request needs exactly one Host header: localhost, or a name listed in "allowedHosts" in the configuration')
}

/** Hashes are compared, every one of them, so that the time tells nothing of the key (pitfall Z5). */
function findKey(request: IncomingMessage, keys: readonly AccessKeyConfig[]): AccessKeyConfig {
  const { 'x-api-key': apiKey, authorization } = request.headers
  const sent = [apiKey, /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]] // some clients send both (pitfall H5)
    .filter((value) => typeof value === 'string')
    .map((value) => createHash('sha256').update(value.trim()).digest())
  const found = keys.filter((key) => {
    const expected = Buffer.from(key.hash, 'hex')
    return sent.filter((hash) => expected.length === hash.length && timingSafeEqual(hash, expected)).length > 0
  })
  if (found[0] !== undefined) return found[0]
  throw new DarioError('authentication', sent.length === 0
    ? 'Access key missing: send one as "x-api-key" or "authorization: Bearer"; `dario key add NAME` makes one'
    : 'Access key unknown: check the API key setting of your tool, or make a new one with `dario key add NAME`')
}
