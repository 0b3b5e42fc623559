/**
 * A real proxy on port 0, closed with the test.
 * @module
 */
import { createProxy } from '../../src/index.ts'
import type { Proxy, ProxyOptions, RequestRecord } from '../../src/index.ts'
import type { TestContext } from 'node:test'
import { withDeadline } from './deadline.ts'

export interface TestProxy {
  proxy: Proxy
  url: string
  /** Every finished request so far. */
  records: RequestRecord[]
  /** Resolves with the record of the next request that ends. */
  nextRecord(): Promise<RequestRecord>
}

export async function startProxy(context: TestContext, options: ProxyOptions): Promise<TestProxy> {
  const records: RequestRecord[] = []
  const waiting: ((record: RequestRecord) => void)[] = []
  const proxy = createProxy({
    environment: {},
    port: 0,
    ...options,
    observer: {
      ...options.observer,
      end(record) {
        records.push(record as RequestRecord)
        waiting.shift()?.(record as RequestRecord)
        options.observer?.end?.(record)
      },
    },
  })
  const { url } = await proxy.listen()
  context.after(() => withDeadline(proxy.close(0), 20_000, 'the proxy\'s close'))
  return { proxy, url, records, nextRecord: () => new Promise((resolve) => waiting.push(resolve)) }
}

/** A backend of each dialect at one upstream address, named by its dialect; keys that a search of the output finds. */
export function backendsAt(url: string): NonNullable<ProxyOptions['backends']> {
  return {
    anthropic: { type: 'anthropic', baseUrl: url, keys: ['sk-test-anthropic-SECRETSECRET'] },
    chat: { type: 'openai', baseUrl: url, speaks: ['chat'], keys: ['sk-test-chat-SECRETSECRET'] },
    responses: { type: 'openai', baseUrl: url, speaks: ['responses'], keys: ['sk-test-responses-SECRETSECRET'] },
  }
}
