/**
 * How a socket to an upstream is made: directly or through an HTTP proxy.
 * An https upstream is reached by CONNECT; an http one by absolute-form requests, since many proxies allow CONNECT to
 * port 443 only. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 * @module
 */
import { once } from 'node:events'
import type { Agent, ClientRequestArgs } from 'node:http'
import { connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { DarioError } from '../errors.ts'
import { BRACKETS, showProxy, toProxyAuthorization } from './proxies.ts'

/** A proxy's answer to CONNECT is a few hundred bytes; more is not a proxy. */
const MAX_CONNECT_HEAD = 16_384

export interface Connector {
  /** For `createConnection` of an agent or a request: calls back once, when TCP, CONNECT and TLS are done. */
  connect(request: ClientRequestArgs, callback: (error: Error | null, socket: Duplex) => void): undefined
  /** Ends the attempts under way. */
  close(): void
}

export interface ConnectorOptions {
  target: URL
  proxy: URL | undefined
  /** Its own way to connect is kept: of https.Agent it brings the cache of TLS sessions. */
  agent: Agent
  /** Milliseconds for TCP, CONNECT and TLS together. */
  timeout: number
  /** Name of the backend, for messages. */
  id: string
}

/**
 * Because a socket is handed over only when it is ready, requests on a kept-alive one pay for no connect timer.
 * A socket whose request was aborted meanwhile goes to the agent's free ones, for the next request.
 */
export function createConnector({ target, proxy, agent, timeout, id }: ConnectorOptions): Connector {
  const secure = target.protocol === 'https:'
  const direct = agent.createConnection.bind(agent)
  const opening = new Set<Duplex>()

  async function open(request: ClientRequestArgs, track: (socket: Duplex) => Duplex): Promise<Duplex> {
    const plain = { ...request, path: null } // `path` would be read as that of a local socket
    if (proxy === undefined) return ready(track(direct(plain) as Duplex), secure)
    const toProxy = track(connectProxy(proxy))
    await ready(toProxy, proxy.protocol === 'https:').catch((cause: unknown) => {
      if (cause instanceof DarioError) throw cause
      throw proxyError(proxy, `cannot be reached (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`)
    })
    if (!secure) return toProxy
    await askTunnel(toProxy, proxy, `${target.hostname}:${target.port || 443}`)
    return ready(track(direct({ ...plain, socket: toProxy } as ClientRequestArgs) as Duplex), true)
  }

  return {
    connect(request, callback) {
      let current: Duplex | undefined
      const timer = setTimeout(() => {
        const via = proxy === undefined ? '' : ` through ${showProxy(proxy)}`
        const message = `no connection to ${target.host}${via} within ${timeout} ms (backends.${id}.timeouts.connect)`
        current?.destroy(new DarioError('upstream_timeout', message))
      }, timeout)
      const settle = (error: Error | null): void => {
        clearTimeout(timer)
        if (current === undefined) return
        opening.delete(current)
        if (error !== null) current.destroy()
        callback(error, current)
      }
      const track = (socket: Duplex): Duplex => {
        if (current !== undefined) opening.delete(current)
        opening.add(socket)
        current = socket
        return socket.on('error', () => {}) // one that comes late has no one to tell
      }
      open(request, track).then(() => settle(null), settle)
    },
    close() {
      for (const socket of opening) socket.destroy(new DarioError('upstream_unreachable', `backend ${id} was closed`))
    },
  }
}

async function ready(socket: Duplex, secure: boolean): Promise<Duplex> {
  await once(socket, secure ? 'secureConnect' : 'connect')
  return socket
}

function connectProxy(proxy: URL): Socket {
  const host = proxy.hostname.replace(BRACKETS, '')
  const secure = proxy.protocol === 'https:'
  const options = { host, port: Number(proxy.port || (secure ? 443 : 80)), noDelay: true, keepAlive: true }
  return secure ? connectTls(isIP(host) === 0 ? { ...options, servername: host } : options) : connectTcp(options)
}

function proxyError(proxy: URL, problem: string): DarioError {
  const message = `the proxy ${showProxy(proxy)} ${problem}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY`
  return new DarioError('upstream_unreachable', message)
}

function askTunnel(socket: Duplex, proxy: URL, authority: string): Promise<void> {
  const authorization = toProxyAuthorization(proxy)
  const credentials = authorization === undefined ? '' : `proxy-authorization: ${authorization}\r\n`
  return new Promise((resolve, reject) => {
    let head = ''
    const settle = (problem: string | undefined): void => {
      socket.removeListener('readable', read).removeListener('end', ended).removeListener('error', reject)
      if (problem === undefined) resolve()
      else reject(proxyError(proxy, problem))
    }
    const ended = (): void => settle(`hung up on CONNECT ${authority}`)
    const read = (): void => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end === -1 && head.length > MAX_CONNECT_HEAD) return settle('does not speak HTTP')
        if (end === -1) continue
        const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
        if (status === '407') return settle('asks for a user name and a password: put them into its URL')
        if (status === undefined) return settle('does not speak HTTP')
        if (!status.startsWith('2')) return settle(`refused CONNECT ${authority} (${status})`)
        if (end + 4 < head.length) socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'))
        return settle(undefined)
      }
    }
    socket.on('readable', read).on('end', ended).on('error', reject)
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`)
  })
}
