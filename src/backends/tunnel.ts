/**
 * How a socket to an upstream is made: directly or through an HTTP proxy.
 * An https upstream is reached by CONNECT; an http one by absolute-form requests, since many proxies allow CONNECT to
 * port 443 only. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 * @module
 */
import { once } from 'node:events'
import { connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { DarioError } from '../errors.ts'
import { showProxy, toAddress, toProxyAuthorization } from './proxies.ts'

/** A proxy's answer to CONNECT is a few hundred bytes; more is not a proxy. */
const MAX_CONNECT_HEAD = 16_384
/**
 * One buffer for what all sockets read, since Node calls back before the next read: a buffer and a stream's turn per
 * packet would cost as much again. On Windows reads run at the same time, and need memory of their own.
 */
const SHARED: Buffer | undefined = process.platform === 'win32' ? undefined : Buffer.allocUnsafeSlow(65_536)
/** TCP probes keep address translators from forgetting a connection while a model thinks for minutes; in ms. */
const PROBE_AFTER = 30_000

/**
 * Node gives up each of a name's addresses but the last after 250 ms, and dials them one after the other: whoever has a
 * round trip of more (a train, a satellite) and no IPv6 reached nobody. https://github.com/nodejs/node/issues/54359
 */
const ADDRESSES = 10

/** Loaded for the first upstream that needs it: it takes 3 ms, and many upstreams are on this machine. */
type ConnectTls = typeof import('node:tls').connect

export interface Connector {
  /** What the sockets' `data` event gives is only lent: after the event it is written over. */
  lends: boolean
  /**
   * Resolves when TCP, CONNECT and TLS are done, so that requests on a kept-alive socket pay for no connect timer.
   * Rejects with Node's own error, or a DarioError `upstream_timeout`, `upstream_unreachable`.
   */
  connect(): Promise<Socket>
  /** Ends every socket that was made or is being made, with an error that says so. */
  close(): void
}

/**
 * @param timeout milliseconds for TCP, CONNECT and TLS together
 * @param id name of the backend, for messages
 */
export function createConnector(target: URL, proxy: URL | undefined, timeout: number, id: string): Connector {
  const secure = target.protocol === 'https:'
  const sockets = new Set<Socket>()
  let connectTls: ConnectTls | undefined
  let session: Buffer | undefined
  let isClosed = false
  const toClosed = (): DarioError => new DarioError('upstream_unreachable', `backend ${id} was closed`)

  function dial(url: URL, more: Pick<ConnectionOptions, 'socket' | 'session' | 'ALPNProtocols'>): Socket {
    const { host, port } = toAddress(url)
    const way = { host, port, autoSelectFamilyAttemptTimeout: Math.ceil(timeout / ADDRESSES), ...more }
    // A certificate is asked for by name; an address is none.
    return url.protocol === 'https:' ? connectTls!({ ...way, servername: isIP(host) === 0 ? host : '' }) : connectTcp(way)
  }

  /** Directly, or inside of what a proxy opened. */
  function start(tunnel: Socket | undefined): Socket {
    const read = SHARED && { onread: { buffer: SHARED, callback: (size: number) => socket.emit('data', SHARED.subarray(0, size)) } }
    const way = tunnel === undefined ? read : { socket: tunnel }
    const socket = dial(target, { ...way, ALPNProtocols: ['http/1.1'], ...(session && { session }) })
    socket.on('session', (fresh) => { session = fresh }) // saves the next handshake a round trip
    return socket.once('error', () => { session = undefined })
  }

  async function open(track: (socket: Socket) => Socket): Promise<Socket> {
    if (proxy === undefined) return ready(track(start(undefined)), secure)
    const toProxy = track(dial(proxy, {}))
    try {
      await ready(toProxy, proxy.protocol === 'https:')
      if (secure) await askTunnel(toProxy, proxy, `${target.hostname}:${toAddress(target).port}`)
    } catch (cause) {
      if (cause instanceof DarioError) throw cause
      throw proxyError(proxy, `cannot be reached (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`)
    }
    return secure ? ready(track(start(toProxy)), true) : toProxy
  }

  return {
    lends: SHARED !== undefined && proxy === undefined,
    async connect() {
      if (secure || proxy?.protocol === 'https:') {
        const { connect } = await import('node:tls')
        connectTls = connect
      }
      if (isClosed) throw toClosed()
      let current: Socket | undefined
      const timer = setTimeout(() => {
        const via = proxy === undefined ? '' : ` through ${showProxy(proxy)}`
        const message = `no connection to ${target.host}${via} within ${timeout} ms (backends.${id}.timeouts.connect)`
        current?.destroy(new DarioError('upstream_timeout', message))
      }, timeout)
      const track = (socket: Socket): Socket => {
        sockets.add(socket)
        current = socket
        socket.on('close', () => sockets.delete(socket))
        return socket.on('error', () => {}) // one that comes late has no one to tell
      }
      try {
        return await open(track)
      } catch (error) {
        current?.destroy()
        throw error
      } finally {
        clearTimeout(timer)
      }
    },
    close() {
      isClosed = true
      for (const socket of sockets) socket.destroy(toClosed())
    },
  }
}

async function ready(socket: Socket, secure: boolean): Promise<Socket> {
  await once(socket, secure ? 'secureConnect' : 'connect')
  return socket.setNoDelay().setKeepAlive(true, PROBE_AFTER) // as options, TLS ignores both
}

function proxyError(proxy: URL, problem: string): DarioError {
  const message = `the proxy ${showProxy(proxy)} ${problem}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY`
  return new DarioError('upstream_unreachable', message)
}

async function askTunnel(socket: Socket, proxy: URL, authority: string): Promise<void> {
  const authorization = toProxyAuthorization(proxy)
  const credentials = authorization === undefined ? '' : `proxy-authorization: ${authorization}\r\n`
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`)
  let head = ''
  let end = -1
  while (end === -1 && head.length <= MAX_CONNECT_HEAD) {
    await once(socket, 'readable') // at the end too
    const chunk = socket.read() as Buffer | null
    if (chunk === null) throw proxyError(proxy, `hung up on CONNECT ${authority}`)
    head += chunk.toString('latin1')
    end = head.indexOf('\r\n\r\n')
  }
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
  if (end === -1 || status === undefined) throw proxyError(proxy, 'does not speak HTTP')
  if (status === '407') throw proxyError(proxy, 'asks for a user name and a password: put them into its URL')
  if (!status.startsWith('2')) throw proxyError(proxy, `refused CONNECT ${authority} (${status})`)
  if (end + 4 < head.length) socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'))
}
