/**
 * Connections to one upstream: each carries one request at a time, and is kept for the next one.
 * https://www.rfc-editor.org/rfc/rfc9112#section-9.3
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createResponseParser } from './response-parser.ts'
import type { Connector } from './tunnel.ts'

/** Who waits for an answer. After `end` or `fail` nothing more is told. */
export interface Waiting {
  head(status: number, headers: IncomingHttpHeaders): void
  /** False: enough for now, until `resume`. */
  body(bytes: Buffer): boolean
  end(): void
  /**
   * Node's error, the parser's, or one with the code ECONNRESET for a connection that was closed. `wasHeard`: something
   * of an answer had come, so the request was read.
   */
  fail(cause: unknown, wasHeard: boolean): void
}

export interface Connection {
  /** `head` ends with its blank line. */
  send(method: string, head: string, body: Buffer | string | undefined, waiting: Waiting): void
  resume(): void
  /** Ends it and tells nobody. */
  destroy(): void
  /** Keeps it for another request: nothing was sent on it. */
  release(): void
}

export interface Connections {
  /** A kept one, or undefined. */
  take(): Connection | undefined
  /** Rejects with why there is no connection. */
  open(): Promise<Connection>
}

/** Up to this size head and body are copied into one buffer: a second one costs a system call's worth. */
const SMALL_BODY = 65_536
/** A handshake costs more than an idle socket does. */
const MOST_KEPT = 512
/** Of a server that says how long it keeps its end; its clock runs while that travels. In ms. */
const LONGEST_IDLE = 60_000
const HINT_MARGIN = 1000
/** Milliseconds between two looks at the machine's addresses: one takes a twentieth of a millisecond, on Windows several. */
const LOOK_EVERY = 1000

interface Kept extends Connection {
  /** Unix time in ms at which its last request was over. A machine that slept must see that time has passed. */
  since: number
  /** Milliseconds that it is kept from then on. */
  keepFor: number
}

/**
 * @param idle milliseconds that a connection is kept without a request, where the other side does not say
 * @param readNetwork tells the network that the machine is in from any other
 */
export function createConnections(connector: Connector, idle: number, readNetwork: () => string = readAddresses): Connections {
  const kept: Kept[] = []
  let sweeper: NodeJS.Timeout | undefined
  let network = ''
  let looked = 0

  /** A connection from before another Wi-Fi or a VPN swallows what it is given, and says nothing for a quarter of an hour. */
  function look(): void {
    const time = Date.now()
    if (Math.abs(time - Math.max(looked, kept.at(-1)?.since ?? 0)) < LOOK_EVERY) return // what just worked still does
    looked = time
    const current = readNetwork()
    if (current !== network) for (const connection of kept.splice(0)) connection.destroy()
    network = current
  }

  function sweep(): void {
    for (const connection of [...kept]) if (!isFresh(connection)) connection.destroy()
    if (kept.length > 0) return
    clearInterval(sweeper)
    sweeper = undefined
  }

  function create(socket: Socket): Kept {
    const parser = createResponseParser()
    let waiting: Waiting | undefined
    let isPaused = false
    let isHeard = false

    function fail(cause: unknown): void {
      const told = waiting
      connection.destroy()
      told?.fail(cause, isHeard)
    }
    function hungUp(): void {
      if (waiting === undefined || !parser.finish()) fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
    }

    const reader = {
      head(status: number, headers: IncomingHttpHeaders): void {
        const [, seconds] = /timeout=(\d{1,5})/i.exec(String(headers['keep-alive'] ?? '')) ?? []
        connection.keepFor = seconds === undefined ? idle : Math.min(LONGEST_IDLE, Number(seconds) * 1000 - HINT_MARGIN)
        waiting?.head(status, headers)
      },
      body(bytes: Buffer): void {
        if (waiting?.body(connector.lends ? copy(bytes) : bytes) !== false) return
        isPaused = true
        socket.pause()
      },
      end(persists: boolean): void {
        const told = waiting
        waiting = undefined
        connection.resume() // to see when the other side hangs up
        // An answer before the whole request is told, but what is left of that cannot be taken back.
        if (persists && socket.writableLength === 0 && !socket.destroyed) connection.release()
        else connection.destroy()
        told?.end()
      },
    }

    const connection: Kept = {
      since: 0,
      keepFor: idle,
      send(method, head, body, told) {
        waiting = told
        isHeard = false
        parser.expect(method, reader)
        write(socket, head, body)
      },
      resume() {
        if (isPaused) socket.resume()
        isPaused = false
      },
      destroy() {
        waiting = undefined
        const at = kept.indexOf(connection)
        if (at !== -1) kept.splice(at, 1)
        socket.destroy()
      },
      release() {
        if (connection.keepFor <= 0) return connection.destroy()
        connection.since = Date.now()
        kept.push(connection)
        if (kept.length > MOST_KEPT) kept.shift()!.destroy()
        sweeper ??= setInterval(sweep, idle / 4).unref()
      },
    }
    socket.unref() // it is the requests that keep a process alive
    socket.on('data', (bytes: Buffer) => {
      isHeard = true
      try {
        parser.push(bytes)
      } catch (fault) {
        fail(fault)
      }
    })
    socket.on('error', fail).on('end', hungUp).on('close', hungUp)
    return connection
  }

  return {
    take() {
      look()
      // The last one first: the others may then rest until they are closed.
      for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
        if (isFresh(last)) return last
        last.destroy()
      }
      return undefined
    },
    open: async () => create(await connector.connect()),
  }
}

/** Without link-local ones, which come and go with containers and AirDrop; '' where a system does not tell (Android). */
function readAddresses(): string {
  try {
    return Object.values(networkInterfaces()).flat().flatMap((one) => one?.scopeid ? [] : one?.address).join()
  } catch {
    return ''
  }
}

/** Not of the future either: the clock may be set back. */
function isFresh({ since, keepFor }: Kept): boolean {
  return Math.abs(Date.now() - since) < keepFor
}

function copy(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafe(bytes.length)
  own.set(bytes)
  return own
}

function write(socket: Socket, head: string, body: Buffer | string | undefined): void {
  if (body === undefined || body.length === 0) {
    socket.write(head, 'latin1')
  } else if (body.length <= SMALL_BODY) {
    const size = Buffer.byteLength(body)
    const bytes = Buffer.allocUnsafe(head.length + size)
    bytes.write(head, 'latin1')
    if (typeof body === 'string') bytes.write(body, head.length)
    else body.copy(bytes, head.length)
    socket.write(bytes)
  } else {
    socket.cork()
    socket.write(head, 'latin1')
    socket.write(body)
    socket.uncork()
  }
}
