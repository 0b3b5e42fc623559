/**
 * Which headers travel between client and upstream, in both directions, and how beta tokens are merged.
 * Hop-by-hop rules: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
 * @module
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { createMemo } from '../hub/memo.ts'
import type { DialectName } from '../hub/types.ts'

const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'host']

const NOT_UPSTREAM: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // Ours to set: the body is decompressed and may be rewritten, and answers must pass byte for byte (pitfall X2).
  'content-length', 'content-encoding', 'accept-encoding',
  // Who the client is and where it sits is nobody's business upstream.
  'forwarded', 'via', 'x-real-ip', 'cookie', 'origin', 'referer',
  // Account words of one vendor: wrong next to a key of ours, and not for another vendor to see (pitfall H1).
  'openai-organization', 'openai-project', 'chatgpt-account-id',
  // A browser SDK's CORS switch; the request no longer comes from a browser.
  'anthropic-dangerous-direct-browser-access',
])
const NOT_UPSTREAM_PREFIX = /^(proxy-|x-forwarded-|sec-|dario-)/
/** `x-api-key`, `x-goog-api-key`, `authorization`, `cf-aig-authorization`, `x-auth-token`, `helicone-auth`. */
const CREDENTIAL_SUFFIX = /(api-key|authorization|-token|-auth)$/

const NOT_CLIENT: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // They speak for the vendor's origin; on ours they would set cookies or move a browser to another endpoint.
  'set-cookie', 'alt-svc', 'strict-transport-security', 'content-security-policy', 'clear-site-data', 'nel',
  'report-to', 'date',
  // It asks for our credential, not the client's: a browser would show the user a password box.
  'www-authenticate',
])
/** No CORS headers: no web page may read answers. `dario-*`: only this dario's own words. */
const NOT_CLIENT_PREFIX = /^(proxy-|access-control-|dario-)/

/** What Node's writer accepts: anything else makes it throw (pitfall H6). */
export const WRITABLE: RegExp = /^[\t\x20-\x7e\x80-\xff]*$/

const mayGoUpstream = (name: string): boolean =>
  !NOT_UPSTREAM.has(name) && !NOT_UPSTREAM_PREFIX.test(name) && !CREDENTIAL_SUFFIX.test(name)
// Kept: the rules take a microsecond each, and all requests have the same few names.
const mayGoToAnthropic = createMemo((name) => mayGoUpstream(name) && !name.startsWith('openai-'))
const mayGoToOthers = createMemo((name) => mayGoUpstream(name) && !name.startsWith('anthropic-'))
const mayGoToClient = createMemo((name) => !NOT_CLIENT.has(name) && !NOT_CLIENT_PREFIX.test(name))
const mayGoDecoded = createMemo((name) => mayGoToClient(name) && !/^content-(length|encoding)$/.test(name))

/** Headers that `connection` names belong to that connection only; undefined when it names none, the usual case. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined
  return new Set(connection.toLowerCase().split(',').map((name) => name.trim()))
}

/**
 * A value that can be written. Bytes above 0x7f that came from the wire go on unchanged; a character that has no
 * byte of its own (from a configuration file) is written as UTF-8; control characters are taken out.
 */
export function toHeaderValue(value: string): string {
  if (WRITABLE.test(value)) return value
  return Buffer.from(value).toString('latin1').replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
}

function pick(headers: IncomingHttpHeaders, mayGo: (name: string) => boolean): Record<string, string> {
  const named = namedByConnection(headers.connection)
  const kept: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value === 'string' && mayGo(name) && named?.has(name) !== true) kept[name] = toHeaderValue(value)
  }
  return kept
}

/** The client's headers that may travel to an upstream of this dialect; never a credential (H1, H2, H4, H9). */
export function toUpstreamHeaders(client: IncomingHttpHeaders, dialect: DialectName): Record<string, string> {
  return pick(client, dialect === 'anthropic' ? mayGoToAnthropic : mayGoToOthers)
}

/**
 * The upstream's headers that may travel to the client: request ids, rate limits, `retry-after`, `content-type`.
 * `content-length` and `content-encoding` stay only with untouched bytes, where the length lets the client see a cut
 * answer; next to a body that was decoded or translated both would be lies (pitfall X1).
 */
export function toClientHeaders(upstream: IncomingHttpHeaders, bytesUntouched: boolean): OutgoingHttpHeaders {
  return pick(upstream, bytesUntouched ? mayGoToClient : mayGoDecoded)
}

/** Both lists of `anthropic-beta` tokens, each token once, without `drop`; undefined when none is left (H3, H4). */
export function mergeBetas(
  first: string | undefined, second: string | undefined, drop: readonly string[],
): string | undefined {
  if (first === undefined && second === undefined) return undefined
  const tokens = new Set(`${first ?? ''},${second ?? ''}`.split(',').map((token) => token.trim()))
  tokens.delete('')
  for (const token of drop) tokens.delete(token)
  return tokens.size === 0 ? undefined : [...tokens].join(',')
}
