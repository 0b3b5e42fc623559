/**
 * What HTTP clients expect of a socket, on top of an in-memory stream.
 * @module
 */
import type { Duplex } from 'node:stream'

/** @param timeout milliseconds of silence until `timeout` is emitted, as `net.connect` takes it */
export function dressSocket(stream: Duplex, secure: boolean, timeout?: number): Duplex {
  let timer: NodeJS.Timeout | undefined
  const itself = (): Duplex => stream
  const push = stream.push.bind(stream)
  const write = stream._write.bind(stream)
  const socket = Object.assign(stream, {
    connecting: false, remoteAddress: '127.0.0.1', remoteFamily: 'IPv4',
    ...(secure ? { encrypted: true, authorized: true } : {}),
    setNoDelay: itself, setKeepAlive: itself, ref: itself, unref: itself,
    address: () => ({}),
    setTimeout(ms: number, listener?: () => void): Duplex {
      clearTimeout(timer)
      if (ms > 0) timer = setTimeout(() => stream.emit('timeout'), ms).unref()
      if (listener !== undefined) stream[ms > 0 ? 'once' : 'off']('timeout', listener)
      return stream
    },
    push(chunk: unknown): boolean {
      timer?.refresh()
      return push(chunk)
    },
    _write(...args: Parameters<typeof write>): void {
      timer?.refresh()
      write(...args)
    },
  })
  stream.once('close', () => clearTimeout(timer))
  if (timeout !== undefined) socket.setTimeout(timeout)
  return socket
}
