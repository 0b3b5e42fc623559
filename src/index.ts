/**
 * dario as a library: one proxy for the Anthropic Messages, OpenAI Chat Completions and OpenAI Responses APIs.
 * @module
 */
export { parseConfig } from './config/parse.ts'
export { DarioError } from './errors.ts'
export { createProxy } from './proxy.ts'
export type { BackendConfig, BudgetConfig, Config, ConfigInput, RouteConfig } from './config/types.ts'
export type { ErrorCode } from './errors.ts'
export type { AttemptRecord, Cost, Observer, RequestRecord } from './hub/record.ts'
export type { DialectName, Usage } from './hub/types.ts'
export type { ChannelPayloads } from './observe/channel.ts'
export type { BackendStatus, Explanation, Proxy, ProxyOptions } from './proxy.ts'
