/// <reference lib="dom" />
/**
 * The dashboard in a real Chromium, and the metrics before Prometheus' own judge. Both programs are Debian packages
 * (chromium, prometheus); CHROMIUM names another one. With SCREENSHOTS=FOLDER pictures of all sizes are kept.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import axe from 'axe-core'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { parseConfig } from '../../src/config/parse.ts'
import type { ProxyOptions } from '../../src/index.ts'
import { readUsage } from '../../src/observe/usage.ts'
import { startProxy } from '../helpers/proxy.ts'
import type { TestProxy } from '../helpers/proxy.ts'
import { startUpstream } from '../helpers/upstream.ts'

const HOSTILE = '<img src=x onerror="alert(document.domain)">'
const SIZES = [[320, 640], [1280, 800], [3840, 2160]] as const

let browser: Browser
before(async () => {
  browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
})
after(() => browser.close())

interface Scene extends TestProxy {
  folder: string
  /** Lets the streams of models that begin with `slow` end. */
  release(): void
  ask(model: string, tool?: string): Promise<string>
}

/** A dario with an upstream that counts tokens, refuses `busy` and holds `slow`. */
async function startScene(context: TestContext, options: ProxyOptions = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'dario-dashboard-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  let held: (() => void)[] = []
  const upstream = await startUpstream(context, async ({ body }, response) => {
    const { model } = JSON.parse(body.toString()) as { model: string }
    if (model === 'busy') {
      response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '60' })
      response.end('{"type":"error","error":{"type":"rate_limit_error","message":"Over 40,000 tokens per minute: wait a minute"}}')
      return
    }
    const send = (event: { type: string }): void => void response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    const reset = new Date(Date.now() + 60_000).toISOString()
    response.writeHead(200, {
      'content-type': 'text/event-stream', 'anthropic-ratelimit-requests-limit': '100', 'anthropic-ratelimit-requests-remaining': '37', 'anthropic-ratelimit-requests-reset': reset,
    })
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], usage: { input_tokens: 1_500, cache_read_input_tokens: 6_000, cache_creation_input_tokens: 500, output_tokens: 1 } }
    send({ type: 'message_start', message } as { type: string })
    send({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as { type: string })
    send({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hello' } } as { type: string })
    if (model.startsWith('slow')) await new Promise<void>((resolve) => held.push(resolve))
    send({ type: 'content_block_stop', index: 0 } as { type: string })
    send({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2_000 } } as { type: string })
    send({ type: 'message_stop' })
    response.end()
  })
  const proxy = await startProxy(context, {
    usageFolder: folder,
    backends: {
      vendor: { type: 'anthropic', baseUrl: upstream.url, keys: ['sk-a-SECRETSECRET', 'sk-b-SECRETSECRET'], models: [{ id: 'priced', price: { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 } }] },
    },
    routes: [{ model: '*', to: ['vendor'] }],
    ...options,
  })
  return {
    ...proxy, folder,
    release() {
      for (const go of held) go()
      held = []
    },
    async ask(model, tool = 'claude-cli/2.1.330 (external, cli)') {
      const body = JSON.stringify({ model, max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'hi' }] })
      return await (await fetch(`${proxy.url}/v1/messages`, { method: 'POST', body, headers: { 'user-agent': tool, 'x-api-key': 'the-access-key-1' } })).text()
    },
  }
}

/** A page whose every complaint, foreign request and dialog is kept; in the end there must be none. */
async function inPage(url: string, use: (page: Page) => Promise<void>, options: BrowserContextOptions = {}): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options })
  const complaints: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()) })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('dialog', (dialog) => { complaints.push(dialog.message()); void dialog.dismiss() })
  page.on('request', (request) => { if (!request.url().startsWith(url) && !request.url().startsWith('data:')) complaints.push(`foreign: ${request.url()}`) })
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective}`)))
  try {
    await page.goto(url)
    await use(page)
    deepStrictEqual(complaints, [])
  } finally {
    await page.close()
  }
}

const row = (page: Page, model: string): ReturnType<Page['locator']> => page.locator('#requests tbody tr').filter({ has: page.getByText(model, { exact: true }) })

test('a row appears while its stream runs and shows its end', async (context) => {
  const { url, ask, release } = await startScene(context)
  await inPage(url, async (page) => {
    await page.getByText('Nothing yet').waitFor()
    const answer = ask('slow-one')
    await row(page, 'slow-one').locator('.running').waitFor()
    strictEqual(await page.title(), '(1) dario')
    release()
    await answer
    await row(page, 'slow-one').getByText('200', { exact: true }).waitFor()
    const text = await row(page, 'slow-one').innerText()
    for (const part of ['vendor#', 'claude-cli/2.1.330', '8K', '2K', 't/s']) ok(text.includes(part), `${part} in ${text}`)
  })
})

test('names of models and tools stay text', async (context) => {
  const { url, ask } = await startScene(context)
  await inPage(url, async (page) => {
    await ask(HOSTILE, '<script>alert(1)</script>')
    await row(page, HOSTILE).waitFor()
    ok((await row(page, HOSTILE).innerText()).includes('<script>alert(1)</script>'))
    strictEqual(await page.locator('img').count(), 0)
    strictEqual(await page.locator('body script').count(), 1)
  })
})

test('charts, tiles and tables show the numbers of the ledger', async (context) => {
  const { proxy, url, ask, folder } = await startScene(context)
  for (const model of ['priced', 'priced', 'unpriced', 'busy']) await ask(model)
  const shown = { requests: [0], tokens: [0], cost: [0], tiles: '' }
  await inPage(url, async (page) => {
    await row(page, 'busy').waitFor()
    for (const view of ['requests', 'cost', 'tokens'] as const) {
      await page.locator(`[value=${view}]`).check()
      const last = page.locator('figure g:last-of-type')
      shown[view] = await last.evaluateAll((bars) => bars.map((bar) => Number(bar.getAttribute('data-total'))))
    }
    await page.locator('summary').first().click()
    await page.getByRole('row', { name: '6K 18K 6K' }).first().waitFor()
    shown.tiles = await page.locator('#tiles').innerText()
  })
  await proxy.close(0)
  const groups = readUsage(folder, '2000-01-01')
  const tokens = groups.reduce((sum, { input, cacheRead, cacheWrite, output }) => sum + input + cacheRead + cacheWrite + output, 0)
  const dollars = groups.reduce((sum, group) => sum + group.dollars, 0)
  deepStrictEqual([shown.requests, shown.tokens], [[4, 4], [tokens, tokens]])
  strictEqual(tokens, 30_000)
  deepStrictEqual(shown.cost.map((cost) => cost.toFixed(9)), [dollars.toFixed(9), dollars.toFixed(9)])
  match(shown.tiles, new RegExp(`30K[^]*≈\\s\\$${dollars.toFixed(4)}\\s+1 without a price[^]*75 %[^]*25 %\\s+1 of 4`))
})

test('keys, errors with remedies and routes are shown', async (context) => {
  const { url, ask } = await startScene(context)
  await ask('priced')
  await ask('busy')
  await inPage(url, async (page) => {
    await page.getByText('resting').first().waitFor()
    match(await page.locator('#backends').innerText(), /vendor#\d resting rate_limited, until/)
    match(await page.locator('#errors').innerText(), /429 rate_limited\s+Over 40,000 tokens per minute: wait a minute/)
    await page.locator('#model').fill(HOSTILE)
    await page.keyboard.press('Enter')
    await page.locator('#lines li').first().waitFor()
    ok((await page.locator('#lines').innerText()).includes(`asks vendor for ${HOSTILE}`))
  })
})

test('an access key is asked for once and kept in the tab', async (context) => {
  const { url, ask } = await startScene(context, { accessKeys: [{ name: 'me', key: 'the-access-key-1' }] })
  await ask('priced')
  await inPage(url, async (page) => {
    await page.getByLabel('Access key').fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByText('That key is not known here.').waitFor()
    await page.getByLabel('Access key').fill('the-access-key-1')
    await page.keyboard.press('Enter')
    await row(page, 'priced').waitFor()
    await page.reload()
    await row(page, 'priced').waitFor()
    strictEqual(await page.getByLabel('Access key').isVisible(), false)
    ok(!page.url().includes('key'))
  })
})

test('Pause holds the page, Resume shows what is now, both by keyboard', async (context) => {
  const { url, ask } = await startScene(context)
  await inPage(url, async (page) => {
    await page.getByText('live', { exact: true }).waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('paused').waitFor()
    await ask('priced')
    await page.waitForResponse(() => true, { timeout: 700 }).catch(() => {})
    strictEqual(await row(page, 'priced').count(), 0)
    await page.keyboard.press('Enter')
    await row(page, 'priced').waitFor()
  })
})

test('the page comes back when dario does', async (context) => {
  const first = await startScene(context)
  const page = await browser.newPage()
  context.after(() => page.close())
  await page.goto(first.url)
  await page.getByText('live', { exact: true }).waitFor()
  await first.proxy.close(0)
  await page.getByText('does not answer; trying again').waitFor()
  const again = await startScene(context, { port: Number(new URL(first.url).port) })
  await page.getByText('live', { exact: true }).waitFor()
  await again.ask('priced')
  await row(page, 'priced').waitFor()
})

test('a key that no header can carry is refused like any other, and one that is taken away meanwhile is told', async (context) => {
  const accessKeys = [{ name: 'me', key: 'the-access-key-1' }]
  const { url, proxy } = await startScene(context, { accessKeys })
  const page = await browser.newPage()
  const faults: Error[] = []
  page.on('pageerror', (error) => faults.push(error))
  context.after(() => page.close())
  await page.goto(url)
  await page.getByLabel('Access key').fill('ключ')
  await page.keyboard.press('Enter')
  await page.getByLabel('Access key').fill('\u200bthe-access-key-1')
  await page.keyboard.press('Enter')
  await page.getByText('live', { exact: true }).waitFor()
  proxy.update(parseConfig({ accessKeys: [{ name: 'other', key: 'the-access-key-2' }] }, {}).config)
  await page.locator('#model').fill('echo')
  await page.keyboard.press('Enter')
  await page.getByText('does not answer this page any more: reload it').waitFor()
  deepStrictEqual(faults, [])
})

test('a connection that fell silent is opened again, also while the page is held', async (context) => {
  const { url } = await startScene(context)
  const state = /^data: .*\n\n/.exec(await (async () => {
    const reader = (await fetch(`${url}/events`)).body!.getReader()
    const { value } = await reader.read()
    await reader.cancel()
    return Buffer.from(value!).toString()
  })())![0]
  let feeds = 0
  const silent = await startUpstream(context, async (request, response) => {
    if (request.url === '/events') {
      feeds++
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(state)
      return
    }
    const original = await fetch(url + request.url)
    response.writeHead(200, { 'content-type': original.headers.get('content-type')! }).end(await original.text())
  })
  const page = await browser.newPage()
  context.after(() => page.close())
  await page.clock.install()
  await page.goto(silent.url)
  await page.getByText('live', { exact: true }).waitFor()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByText('paused').waitFor()
  await page.clock.runFor(10_000)
  await page.getByText('does not answer').waitFor()
  await page.clock.runFor(2_000)
  await page.getByText('paused').waitFor()
  strictEqual(feeds, 2)
})

for (const [width, height] of SIZES) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`at ${width} by ${height} in ${colorScheme} nothing overflows and axe finds nothing`, async (context) => {
      const { url, ask, release } = await startScene(context)
      for (const model of ['priced', 'busy', HOSTILE, `a-very-long-name-${'x'.repeat(180)}`]) await ask(model)
      const held = ask('slow-one', 'OpenAI/Python 7.57')
      await inPage(url, async (page) => {
        await row(page, 'slow-one').waitFor()
        await page.locator('summary').first().click()
        strictEqual(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0)
        await page.evaluate(axe.source)
        const violations = await page.evaluate(async () => {
          const { axe } = window as unknown as { axe: typeof import('axe-core') }
          return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
        })
        deepStrictEqual(violations, [])
        const folder = process.env['SCREENSHOTS']
        if (folder !== undefined) await page.screenshot({ path: join(folder, `${width}-${colorScheme}.png`), fullPage: true })
        release()
        await held
      }, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' })
    })
  }
}

test('promtool finds nothing wrong with the metrics', async (context) => {
  const { url, ask } = await startScene(context)
  for (const model of ['priced', 'busy', HOSTILE]) await ask(model)
  const input = await (await fetch(`${url}/metrics`)).text()
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })
  deepStrictEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })
})
