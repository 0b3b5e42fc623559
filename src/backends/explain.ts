/**
 * What a failed connection means and what to do about it: Node's error codes in words.
 * https://nodejs.org/api/errors.html#nodejs-error-codes
 * @module
 */
import { DarioError } from '../errors.ts'

function readCode(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : 'unknown error'
}

/** `host` is `name:port`. A DarioError passes as it is; Node's own message never does, since it may quote a URL. */
export function explain(cause: unknown, id: string, host: string): DarioError {
  if (cause instanceof DarioError) return cause
  const code = readCode(cause)
  if (code.startsWith('HTTP_')) {
    const words = code === 'HTTP_HEADER_OVERFLOW' ? 'too many headers' : 'something that is not HTTP'
    const message = `${host} sent ${words} (${code}); check backends.${id}.baseUrl`
    return new DarioError('upstream_protocol', message, { cause })
  }
  return new DarioError('upstream_unreachable', `${toSentence(code, id, host)} (${code})`, { cause })
}

/** The same for an answer that had begun. */
export function explainBreak(cause: unknown, id: string, host: string): DarioError {
  if (readCode(cause) !== 'ECONNRESET') return explain(cause, id, host)
  return new DarioError('upstream_unreachable', `${host} broke off in the middle of its answer; ask again`, { cause })
}

/** By Node's error code, the first that matches. */
const SENTENCES: readonly [RegExp, (host: string, setting: string) => string][] = [
  [/^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT)$/,
    (host) => `the certificate of ${host} is signed by an authority that Node does not know; if it is your company's, `
      + 'start dario with NODE_EXTRA_CA_CERTS=its-certificate.pem'],
  [/^CERT_/, (host) => `the certificate of ${host} is not valid; have it renewed, or see NODE_EXTRA_CA_CERTS`],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, (host, setting) => `the certificate of ${host} is for another name; correct ${setting}`],
  [/^(EPROTO$|ERR_SSL_)/, (host, setting) => `${host} does not speak TLS; correct the scheme or port in ${setting}`],
  [/^(ENOTFOUND|EAI_AGAIN)$/, (host, setting) => `the name of ${host} cannot be resolved; check ${setting} and the network`],
  [/^ECONNREFUSED$/, (host, setting) => `nothing listens at ${host}; start that server or correct ${setting}`],
  [/^(ECONNRESET|EPIPE)$/, (host) => `${host} closed the connection; try again, and see its log if it happens often`],
]

function toSentence(code: string, id: string, host: string): string {
  const setting = `backends.${id}.baseUrl`
  const [, explain] = SENTENCES.find(([pattern]) => pattern.test(code)) ?? []
  return explain?.(host, setting) ?? `${host} cannot be reached; check ${setting} and the network`
}
