/**
 * What a configuration says, as it is written and as it is read.
 * @module
 */
import type { DialectName } from '../hub/types.ts'

export interface BackendConfig {
  type: 'anthropic' | 'openai' | 'claude-code' | 'echo'
  /** Without a trailing slash and without `/v1` at its end. */
  baseUrl?: string | undefined
  /** Credentials after `env:` and `file:` were read. `label` is all that may be shown. */
  keys: { label: string; value: string; weight: number }[]
  speaks: DialectName[]
  /** Milliseconds. */
  timeouts: {
    /** TCP and TLS set-up; default 10,000. */
    connect: number
    /** Until the upstream's response headers; default 600,000. */
    firstByte: number
    /** Between two chunks of an answer; default 300,000. */
    silence: number
  }
  /** Extra request headers for this backend; they win over the client's. */
  headers: Record<string, string>
  /** `anthropic-beta` tokens never sent to this backend. */
  dropBetas: string[]
  /** Models it serves, when it must not be asked; with their limits and prices where the user gives them. */
  models: ModelConfig[]
  /** Concurrent requests; undefined: no cap. */
  maxConcurrent?: number | undefined
  /** Requests that may wait for a free place; default 64. */
  maxQueue: number
  /** Found in the environment rather than written by the user. */
  discovered: boolean
  /** claude-code only: program, configuration folder of a second login, extra variables. */
  command?: string | undefined
  configDir?: string | undefined
  env: Record<string, string>
  /** claude-code only: idle processes end after this many ms (default 600,000); at most this many at once (default 10). */
  idle: number
  maxProcesses: number
  warm: boolean
}

export interface ModelConfig {
  id: string
  maxInputTokens?: number | undefined
  maxOutputTokens?: number | undefined
  /** US dollars per million tokens. */
  price?: { input: number; output: number; cacheRead?: number | undefined; cacheWrite?: number | undefined } | undefined
}

/** `to`: `backend` or `backend:model`, tried in this order. */
export interface RouteConfig {
  model: string
  to: string[]
}

/** A client credential of this proxy. `hash` is the SHA-256 of the key in hexadecimal. */
export interface AccessKeyConfig {
  name: string
  hash: string
  /** Route patterns (`model` of a route) that it may use; undefined: all. */
  routes?: string[] | undefined
}

/** A limit per local day or calendar month, in US dollars (estimated) or in tokens of all kinds; one of the two. */
export interface BudgetConfig {
  /** `all`, `backend:NAME`, `route:PATTERN` or `key:NAME`. */
  scope: string
  per: 'day' | 'month'
  dollars?: number | undefined
  tokens?: number | undefined
}

export interface Config {
  /** undefined: both loopback addresses. */
  host: string | undefined
  port: number
  accessKeys: AccessKeyConfig[]
  /** Host header values accepted besides loopback names; Origins that browsers may call from. */
  allowedHosts: string[]
  allowedOrigins: string[]
  /** Bytes; default 64 MiB. */
  maxBodyBytes: number
  /** Answers and their items kept in memory for `previous_response_id`, and their bytes; default 4,000 and 64 MiB. As of the start. */
  maxStoredAnswers: number
  maxStoredBytes: number
  /** Milliseconds for a whole request, all attempts together; default 3,600,000. */
  deadline: number
  /** Upstream attempts per request; default 8. */
  attempts: number
  backends: Record<string, BackendConfig>
  routes: RouteConfig[]
  /** One step only: alias -> model. */
  aliases: Record<string, string>
  budgets: BudgetConfig[]
  /** Days that the usage ledger keeps; default 400. */
  usageDays: number
}

/** The configuration file's form. Everything is optional; defaults are those of Config and BackendConfig. */
export interface ConfigInput extends Partial<Omit<Config, 'accessKeys' | 'backends' | 'budgets'>> {
  accessKeys?: (string | (Partial<AccessKeyConfig> & { key?: string }))[]
  backends?: Record<string, BackendInput>
  budgets?: (Omit<BudgetConfig, 'scope'> & Partial<BudgetConfig>)[]
}

interface BackendInput extends Partial<Omit<BackendConfig, 'type' | 'keys' | 'timeouts' | 'models' | 'discovered'>> {
  type: BackendConfig['type']
  /** As they are written: a literal, `env:NAME` or `file:PATH`; `weight` is the share among several, default 1. */
  keys?: (string | { key: string; weight?: number })[]
  timeouts?: Partial<BackendConfig['timeouts']>
  models?: (string | ModelConfig)[]
}

/** What the command line sets; text as it was typed. */
export type ConfigFlags = Partial<Record<'host' | 'port', string | undefined>>

export interface ParsedConfig {
  config: Config
  /** One sentence each, for the user: what was left out and why. */
  warnings: string[]
}
