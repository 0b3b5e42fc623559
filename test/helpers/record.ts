/**
 * The record of one finished request.
 * @module
 */
import type { RequestRecord } from '../../src/index.ts'

export function createRecord(given: Partial<RequestRecord> = {}): RequestRecord {
  return {
    id: 'req_1', time: Date.now(), method: 'POST', path: '/v1/messages', dialect: 'anthropic', tool: undefined, accessKey: undefined,
    model: 'm', stream: false, route: undefined, attempts: [], backend: 'openai', key: 'openai#1', servedModel: 'm', status: 200,
    end: 'complete', error: undefined, stop: 'end_turn', usage: { input: 10, cacheRead: 0, cacheWrite: 0, output: 5 },
    firstByteMs: 1, totalMs: 2, requestBytes: 100, responseBytes: 100, dropped: [], ...given,
  }
}
