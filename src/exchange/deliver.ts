/**
 * Brings an upstream's good answer to the client: relayed in the same dialect, translated in another.
 * @module
 */
import { decodeBody } from '../backends/body.ts'
import { toClientHeaders } from '../backends/headers.ts'
import { DarioError } from '../errors.ts'
import { describe } from './describe.ts'
import { isStream, relayBody, relayStream } from './relay.ts'
import { UNBUFFERED } from './reply.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Job, Sent } from './job.ts'
import type { Relayed } from './relay.ts'
import type { LoadTranslation } from './translation.ts'

/**
 * @param served the first byte of content is about to reach the client.
 * @param holdErrors an error before content is kept from the client: there is another candidate.
 */
export async function deliver(
  job: Job, candidate: Candidate, sent: Sent, translation: LoadTranslation, served: () => void, holdErrors: boolean,
): Promise<Relayed> {
  const { upstream, from } = sent
  const streams = isStream(upstream)
  const isAnswer = job.incoming.operation === 'generate'
  const isRelayedStream = streams && isAnswer
  if (isAnswer && upstream.headers['content-type']?.startsWith('text/html')) { // a login page or a firewall's notice: E8
    upstream.body.destroy()
    const { id } = candidate.backend
    const error = new DarioError('upstream_protocol', `${id} answered with a web page; check backends.${id}.baseUrl and the network`)
    return { error, told: false, committed: false }
  }
  if (from !== job.client || (isAnswer && streams !== job.stream)) {
    return (await translation(job.client.name, from.name)).deliver(job, candidate, sent, served)
  }
  // Not every server heeds `identity`. Events must be seen to be relayed whole, and not every client can unpack.
  const encoding = upstream.headers['content-encoding']
  const packed = encoding !== undefined && (isRelayedStream || !job.incoming.headers['accept-encoding']?.includes(encoding))
  const plain = packed ? { ...upstream, body: await decodeBody(upstream) } : upstream
  const commit = (): void => {
    served()
    // A length would cut off what stands behind or between the upstream's events: keep-alives, an error.
    const headers = Object.assign(toClientHeaders(upstream.headers, !packed && !isRelayedStream), describe(job, candidate))
    job.reply.head(upstream.status, streams ? Object.assign(headers, UNBUFFERED) : headers)
  }
  return isRelayedStream ? relayStream(job, plain, commit, holdErrors) : relayBody(job, plain, commit)
}
