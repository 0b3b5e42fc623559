/**
 * The pages for people and for Prometheus: the dashboard, its live feed, where a model goes, metrics. They only read.
 * @module
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { toDarioError } from '../errors.ts'
import type { Live } from './live.ts'
import { encodePrometheus } from './metrics.ts'
import type { Metrics } from './metrics.ts'

/** `open`: needs no access key. */
export interface Page {
  open?: boolean
  /** @param isAuthorised by the configuration of the moment: a key may be taken away while its answer is open */
  serve(request: IncomingMessage, response: ServerResponse, isAuthorised: () => boolean): void | Promise<void>
}

export type PagePath = '/' | '/events' | '/explain' | '/metrics'

export interface PagesOptions {
  live: Live
  metrics: Metrics
  /** Called before they are read: they know of all requests that are over then. */
  flush: () => void
  /** @throws DarioError `model_not_found`. */
  explain: (model: string) => { lines: string[] }
}

/** Times and speeds move on, keys wake up, and a connection that is gone shows, although nothing happens. */
const QUIET = 2_000 // ms

export function createPages({ live, metrics, flush, explain }: PagesOptions): Record<PagePath, Page['serve']> {
  let page: { html: string; headers: Record<string, string> } | undefined

  function serveFeed(request: IncomingMessage, response: ServerResponse, isAuthorised: () => boolean): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    if (request.method === 'HEAD') return void response.end()
    // A reader that is behind is spared the states in between: the next one has it all.
    const send = (): void => {
      if (!isAuthorised()) return void response.end()
      if (response.writableNeedDrain) return
      flush()
      response.write(`data: ${JSON.stringify(live.read())}\n\n`)
    }
    const leave = live.subscribe(send)
    const timer = setInterval(send, QUIET)
    response.on('close', () => {
      clearInterval(timer)
      leave()
    })
    send()
  }

  return {
    '/'(_request, response) {
      page ??= readPage()
      response.writeHead(200, page.headers).end(page.html)
    },
    '/events': serveFeed,
    '/explain'(request, response) {
      const model = new URLSearchParams(request.url?.split('?', 2)[1]).get('model') ?? ''
      let lines: string[]
      try {
        lines = explain(model).lines
      } catch (error) {
        lines = [toDarioError(error).message] // that a model leads nowhere is an answer too
      }
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify({ lines }))
    },
    '/metrics'(_request, response) {
      flush()
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(encodePrometheus(metrics.families()))
    },
  }
}

/** Its one script and one style may run, by their hashes, and nothing else; it may talk to where it came from. */
function readPage(): { html: string; headers: Record<string, string> } {
  const html = readFileSync(new URL('../../src/observe/dashboard.html', import.meta.url), 'utf8')
  const hash = (tag: string): string => {
    const text = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(html)?.[1] ?? ''
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  }
  return {
    html,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; script-src ${hash('script')}; style-src ${hash('style')}; connect-src 'self'; `
        + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    },
  }
}
