/**
 * A real headless Chromium (`CHROMIUM`, else `chromium` of the PATH), driven over a pipe with the DevTools protocol.
 * https://chromedevtools.github.io/devtools-protocol/
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { withDeadline } from './deadline.ts'

export interface Page {
  /** Resolves when the document has loaded, an error page included. */
  open(url: string): Promise<void>
  /** The value of an expression in the page; promises are waited for. */
  run(expression: string): Promise<unknown>
}

interface Message { id?: number; method?: string; sessionId?: string; result?: Record<string, unknown>; error?: { message: string } }

/** `hosts`: names that mean this machine. */
export async function startBrowser(context: TestContext, hosts: readonly string[]): Promise<Page> {
  const folder = mkdtempSync(join(tmpdir(), 'dario-browser-'))
  const rules = hosts.map((host) => `MAP ${host} 127.0.0.1`).join(', ')
  const child = spawn(process.env['CHROMIUM'] ?? 'chromium', [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
    '--remote-debugging-pipe', `--user-data-dir=${folder}`, `--host-resolver-rules=${rules}`, 'about:blank',
  ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  context.after(async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const gone = once(child, 'exit')
      send('Browser.close', {}).catch(() => child.kill('SIGKILL')) // its own processes are still writing when it is killed
      await gone
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })
  await once(child, 'spawn') // rejects when there is no Chromium
  const [, , , input, output] = child.stdio as unknown as [null, null, null, Writable, Readable]
  const waiting = new Map<number, (message: Message) => void>()
  const loads = new Set<() => void>()
  let count = 0, rest = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\0')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      const message = JSON.parse(part) as Message
      if (message.method === 'Page.loadEventFired') for (const load of loads) load()
      waiting.get(message.id ?? 0)?.(message)
      waiting.delete(message.id ?? 0)
    }
  })

  function send(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++count
    input.write(`${JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) })}\0`)
    return withDeadline(new Promise((resolve, reject) => {
      waiting.set(id, ({ result = {}, error }) => (error === undefined ? resolve(result) : reject(new Error(`${method}: ${error.message}`))))
    }), 60_000, method)
  }

  const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true }) as { sessionId: string }
  await send('Page.enable', {}, sessionId)
  return {
    async open(url) {
      const loaded = new Promise<void>((resolve) => loads.add(resolve))
      await send('Page.navigate', { url }, sessionId)
      await withDeadline(loaded, 30_000, `loading ${url}`)
      loads.clear()
    },
    async run(expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true, userGesture: true }, sessionId) as { result: { value?: unknown }; exceptionDetails?: object }
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
      return result.value
    },
  }
}
