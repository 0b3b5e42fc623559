/**
 * What a server speaks and whether it takes a key, found out without paying for a token.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { DialectName } from '../hub/types.ts'
import type { Backend, Call, Key, Upstream } from './backend.ts'
import { readText } from './body.ts'

/** In the order in which they are preferred when nothing else is known: Chat is what compatible servers do best. */
const PATHS: readonly (readonly [DialectName, string])[] = [
  ['chat', '/v1/chat/completions'],
  ['responses', '/v1/responses'],
  ['anthropic', '/v1/messages'],
]

/** Besides 404: answers of a server, or of what stands in front of it, that does not have the path. */
const NO_SUCH_PATH = [405, 501, 502, 503, 504]

/**
 * The dialects that a server has, best first; empty when it has none. Each is asked for an answer to `{}`, which must
 * fail for a reason other than "no such path".
 * @throws DarioError `authentication` when every path refuses the key: then nothing is known. What `send` throws.
 */
export async function probeDialects(backend: Pick<Backend, 'send'>, key: Key | undefined, signal: AbortSignal): Promise<DialectName[]> {
  const answers = await Promise.all(PATHS.map(([dialect, path]) => (
    ask((call) => backend.send(call, key, signal), toPlainCall('POST', path, dialect)))))
  if (answers.every((answer) => answer === 'refused')) {
    throw new DarioError('authentication', 'the server refuses the key, so what it speaks is unknown; check the key')
  }
  return PATHS.filter((_, index) => answers[index] === 'spoken').map(([dialect]) => dialect)
}

async function ask(send: (call: Call) => Promise<Upstream>, call: Call): Promise<'spoken' | 'unknown' | 'refused'> {
  const upstream = await send({ ...call, headers: { 'content-type': 'application/json' }, body: '{}' })
  const text = await readText(upstream, 65_536)
  const { status } = upstream
  if (status === 401 || status === 403) return 'refused'
  // "model '' not found" is the answer of a path that exists.
  if (status === 404) return /\bmodel\b/i.test(text) ? 'spoken' : 'unknown'
  // Nobody can answer `{}`: a 2xx is a catch-all page, or LM Studio, which says 200 to paths that it does not have.
  return status < 400 || NO_SUCH_PATH.includes(status) ? 'unknown' : 'spoken'
}

/** Whether the backend takes this key; a server without a model list but with an answer counts as `ok`. */
export async function checkKey(
  backend: Pick<Backend, 'send' | 'speaks' | 'host'>, key: Key | undefined, signal: AbortSignal,
): Promise<'ok' | 'refused' | 'unreachable'> {
  // OpenRouter shows its models to everyone.
  const path = backend.host === 'openrouter.ai' ? '/v1/key' : '/v1/models'
  try {
    const upstream = await backend.send(toPlainCall('GET', path, backend.speaks[0] ?? 'chat'), key, signal)
    upstream.body.destroy()
    if (upstream.status === 401 || upstream.status === 403) return 'refused'
    return upstream.status >= 500 ? 'unreachable' : 'ok'
  } catch {
    return 'unreachable'
  }
}

/** A call of dario's own, without a body. */
export function toPlainCall(method: string, path: string, dialect: DialectName): Call {
  const none = { model: '', stream: false, body: undefined, session: undefined, loopback: true }
  return { method, path, dialect, headers: { accept: 'application/json' }, ...none }
}
