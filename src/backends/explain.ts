/**
 * What a failed connection means and what to do about it: Node's error codes in words.
 * https://nodejs.org/api/errors.html#nodejs-error-codes
 * @module
 */
import { DarioError } from '../errors.ts'

/** `host` is `name:port`. A DarioError passes as it is; Node's own message never does, since it may quote a URL. */
export function explain(cause: unknown, id: string, host: string): DarioError {
  if (cause instanceof DarioError) return cause
  const { code = 'unknown error' } = cause as NodeJS.ErrnoException
  if (code.startsWith('HTTP_')) {
    const words = code === 'HTTP_HEADER_OVERFLOW' ? 'too many headers' : 'something that is not HTTP'
    const message = `${host} sent ${words} (${code}); check backends.${id}.baseUrl`
    return new DarioError('upstream_protocol', message, { cause })
  }
  const [, sentence = ''] = SENTENCES.find(([pattern]) => pattern.test(code)) ?? []
  const words = sentence.replace('HOST', () => host).replace('SETTING', () => `backends.${id}.baseUrl`)
  return new DarioError('upstream_unreachable', `${words} (${code})`, { cause })
}

/** The same for an answer that had begun. */
export function explainBreak(cause: unknown, id: string, host: string): DarioError {
  if ((cause as NodeJS.ErrnoException).code !== 'ECONNRESET') return explain(cause, id, host)
  return new DarioError('upstream_unreachable', `${host} broke off in the middle of its answer; ask again`, { cause })
}

/** By Node's error code, the first that matches. HOST is the upstream's, SETTING where its URL is configured. */
const SENTENCES: readonly [RegExp, string][] = [
  [
    /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT)$/,
    'the certificate of HOST is signed by an authority that Node does not know; if it is your company\'s, '
      + 'start dario with NODE_EXTRA_CA_CERTS=its-certificate.pem',
  ],
  [/^CERT_/, 'the certificate of HOST is not valid; have it renewed, or see NODE_EXTRA_CA_CERTS'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'the certificate of HOST is for another name; correct SETTING'],
  [/^(EPROTO$|ERR_SSL_)/, 'HOST does not speak TLS; correct the scheme or port in SETTING'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, 'the name of HOST cannot be resolved; check SETTING and the network'],
  [/^ECONNREFUSED$/, 'nothing listens at HOST; start that server or correct SETTING'],
  [/^(ECONNRESET|EPIPE)$/, 'HOST closed the connection; try again, and see its log if it happens often'],
  [/^/, 'HOST cannot be reached; check SETTING and the network'],
]
