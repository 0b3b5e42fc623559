/**
 * How a socket to an upstream is made: directly or through an HTTP proxy (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY).
 * An https upstream is reached by CONNECT; an http one by absolute-form requests, since many proxies allow CONNECT to
 * port 443 only. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 * @module
 */
import { once } from 'node:events'
import type { Agent, ClientRequestArgs } from 'node:http'
import { BlockList, connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { DarioError } from '../errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A proxy's answer to CONNECT is a few hundred bytes; more is not a proxy. */
const MAX_CONNECT_HEAD = 16_384

/** Around an IPv6 address in a URL; sockets want it bare. */
const BRACKETS = /^\[|\]$/g

/** Lower case wins, as in curl; an empty string is unset (pitfall X6). */
function readVariable(environment: Environment, name: string): string | undefined {
  return environment[name.toLowerCase()]?.trim() || environment[name]?.trim() || undefined
}

/** `localhost` and its subdomains, 127.0.0.0/8, ::1: never through a proxy, which would look for them on itself. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function matchesNoProxy(entry: string, host: string, port: string): boolean {
  const [address = '', prefix] = entry.split('/')
  if (prefix !== undefined) {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (isIP(address) === 0 || isIP(host) !== isIP(address) || !(Number(prefix) <= (family === 'ipv6' ? 128 : 32))) return false
    const range = new BlockList()
    range.addSubnet(address, Number(prefix), family)
    return range.check(host, family)
  }
  const withPort = /^(?<name>.*?):(?<port>\d+)$/.exec(isIP(entry) === 6 ? `[${entry}]` : entry)?.groups
  if (withPort !== undefined && withPort['port'] !== port) return false
  const name = (withPort?.['name'] ?? entry).replace(/^\*?\./, '').replace(BRACKETS, '').toLowerCase()
  return name === '*' || (name !== '' && (host === name || host.endsWith(`.${name}`)))
}

/**
 * The proxy for this target, or undefined for a direct connection. NO_PROXY takes `*`, `host`, `.suffix`, `host:port` and
 * CIDR ranges, separated by commas or spaces.
 * @throws DarioError `config_invalid` when the variable does not hold an http or https URL.
 */
export function selectProxy(target: URL, environment: Environment): URL | undefined {
  const host = target.hostname.replace(BRACKETS, '')
  const port = target.port || (target.protocol === 'https:' ? '443' : '80')
  if (isLoopback(host)) return undefined
  const except = (readVariable(environment, 'NO_PROXY') ?? '').split(/[\s,]+/)
  if (except.some((entry) => matchesNoProxy(entry, host, port))) return undefined
  const name = target.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const value = readVariable(environment, name) ?? readVariable(environment, 'ALL_PROXY')
  if (value === undefined) return undefined
  const url = toUrl(value)
  if (url === undefined) {
    throw new DarioError('config_invalid', `${name} or ALL_PROXY must be a URL such as http://proxy.example:3128; SOCKS is not supported`)
  }
  return url
}

/** `proxy.example:3128` is `http://proxy.example:3128`, as everywhere else. */
function toUrl(value: string): URL | undefined {
  const text = value.includes('://') ? value : `http://${value}`
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
}

/** A proxy's URL as logs and errors may show it: without user name and password (pitfall Z6). */
export function showProxy(proxy: URL | string): string {
  const url = typeof proxy === 'string' ? toUrl(proxy) : proxy
  if (url === undefined) return 'not an http URL'
  return `${url.protocol}//${url.username || url.password ? '***@' : ''}${url.host}`
}

/** The value of `proxy-authorization`, undefined when the URL has no credentials. */
export function toProxyAuthorization(proxy: URL): string | undefined {
  if (!proxy.username && !proxy.password) return undefined
  const plain = [proxy.username, proxy.password].map((part) => {
    try {
      return decodeURIComponent(part)
    } catch {
      return part // a password with a bare `%`
    }
  })
  return `Basic ${Buffer.from(plain.join(':')).toString('base64')}`
}

export interface Connector {
  /** For `createConnection` of an agent or a request: calls back once, with a socket whose TCP, CONNECT and TLS are done. */
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
      throw cause instanceof DarioError ? cause : proxyError(proxy, `cannot be reached (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`)
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
  return new DarioError('upstream_unreachable', `the proxy ${showProxy(proxy)} ${problem}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY`)
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
        if (status?.startsWith('2') !== true) return settle(`refused CONNECT ${authority} (${status ?? 'no HTTP status'})`)
        if (end + 4 < head.length) socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'))
        return settle(undefined)
      }
    }
    socket.on('readable', read).on('end', ended).on('error', reject)
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`)
  })
}
