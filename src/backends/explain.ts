/**
 * What a failed connection means and what to do about it: Node's error codes in words.
 * https://nodejs.org/api/errors.html#nodejs-error-codes
 * @module
 */
import { DarioError } from '../errors.ts'

const CERTIFICATE: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT',
])

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

function toSentence(code: string, id: string, host: string): string {
  const setting = `backends.${id}.baseUrl`
  if (CERTIFICATE.has(code)) {
    return `the certificate of ${host} is signed by an authority that Node does not know; if it is your company's, `
      + 'start dario with NODE_EXTRA_CA_CERTS=its-certificate.pem'
  }
  if (code.startsWith('CERT_')) {
    return `the certificate of ${host} is not valid; have it renewed, or see NODE_EXTRA_CA_CERTS`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `the certificate of ${host} is for another name; correct ${setting}`
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return `${host} does not speak TLS; correct the scheme or port in ${setting}`
  }
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name of ${host} cannot be resolved; check ${setting} and the network`
    case 'ECONNREFUSED':
      return `nothing listens at ${host}; start that server or correct ${setting}`
    case 'ECONNRESET':
    case 'EPIPE':
      return `${host} closed the connection; try again, and see its log if it happens often`
    default:
      return `${host} cannot be reached; check ${setting} and the network`
  }
}
