/**
 * One HTTP request to the collector, over a connection of its own. Not by `node:http`: once its client has run, the
 * engine has more than one shape of message to expect, and every relayed request costs a tenth more from then on.
 * https://www.rfc-editor.org/rfc/rfc9112
 * @module
 */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { DarioError } from '../errors.ts'

/** What may stand in a head: a line break would begin a header of somebody else's making. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const STATUS = /^HTTP\/1\.[01] (\d{3})/

async function open({ protocol, hostname, port }: URL): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'https:') return connect({ host, port: Number(port || 80), noDelay: true })
  const { connect: connectTls } = await import('node:tls') // not before: most have no collector
  return connectTls({ host, port: Number(port || 443), ALPNProtocols: ['http/1.1'], ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }) })
}

function toHead({ pathname, search, host, username, password }: URL, headers: Readonly<Record<string, string>>, length: number): string {
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')
  const all = { host, connection: 'close', 'content-length': String(length), ...(username === '' ? {} : { authorization: `Basic ${credentials}` }), ...headers }
  const lines = Object.entries(all).map(([name, value]) => {
    if (!NAME.test(name) || !VALUE.test(value)) throw new DarioError('config_invalid', 'a header of it holds a character that HTTP does not allow')
    return `${name}: ${value}\r\n`
  })
  return `POST ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/**
 * Resolves with the status when `body` is sent too, so that it may be written over; the rest of the answer is of no use.
 * @param patience milliseconds until the status must be there
 * @throws Node's error, or DarioError `config_invalid`, `upstream_timeout`, `upstream_protocol`
 */
export async function post(url: URL, headers: Readonly<Record<string, string>>, body: readonly Buffer[], patience: number): Promise<number> {
  const head = toHead(url, headers, body.reduce((sum, { length }) => sum + length, 0))
  const socket = await open(url)
  const timer = setTimeout(() => socket.destroy(new DarioError('upstream_timeout', `it does not answer within ${patience} ms`)), patience)
  socket.cork()
  socket.write(head, 'latin1')
  for (const bytes of body) socket.write(bytes)
  const sent = new Promise((resolve) => socket.write('', resolve))
  socket.uncork()
  try {
    let said = ''
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      said += bytes.toString('latin1')
      const status = STATUS.exec(said)?.[1]
      if (status === undefined && said.length >= 'HTTP/1.1 200'.length) throw new DarioError('upstream_protocol', 'it does not speak HTTP')
      if (status === undefined) continue
      await sent
      return Number(status)
    }
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
  throw new DarioError('upstream_protocol', 'it hangs up without an answer')
}
