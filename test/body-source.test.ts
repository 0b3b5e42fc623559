import { deepEqual, equal } from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { createBody, createSource, fromReadable, toReadable } from '../src/backends/source.ts'
import type { Body, BodyReader } from '../src/backends/backend.ts'

/** What a reader was told, in order. */
function listen(told: string[]): BodyReader {
  return { data: (bytes) => void told.push(String(bytes)), end: () => void told.push('end'), fail: ({ message }) => void told.push(message) }
}

function start(): { told: string[]; calls: string[]; source: ReturnType<typeof createSource>; reader: BodyReader } {
  const told: string[] = []
  const calls: string[] = []
  return { told, calls, source: createSource(() => void calls.push('resume'), () => void calls.push('close')), reader: listen(told) }
}

function whole(body: Body): Promise<string[]> {
  const told: string[] = []
  const reader = listen(told)
  return new Promise((resolve) => body.read({
    ...reader,
    end() {
      reader.end()
      resolve(told)
    },
    fail(error) {
      reader.fail(error)
      resolve(told)
    },
  }))
}

test('body: what came before its reader is told at once, in order, and its end after it', () => {
  const { told, source, reader } = start()
  source.push(Buffer.from('a'))
  source.push(Buffer.from('b'))
  source.end()
  deepEqual(told, [])
  source.read(reader)
  deepEqual(told, ['a', 'b', 'end'])
})

test('body: a paused one keeps what comes, says when that is enough, and asks for more when all is told', () => {
  const { told, calls, source, reader } = start()
  source.read(reader)
  source.pause()
  equal(source.push(Buffer.alloc(40_000)), true)
  equal(source.push(Buffer.alloc(40_000)), false)
  equal(source.held, 80_000)
  deepEqual(told, [])
  calls.length = 0
  source.resume()
  equal(told.length, 2)
  equal(source.held, 0)
  deepEqual(calls, ['resume'])
})

test('body: a reader that pauses in the middle of what waited gets the rest later', () => {
  const { told, source, reader } = start()
  for (const letter of 'abc') source.push(Buffer.from(letter))
  source.read({ ...reader, data(bytes) {
    reader.data(bytes)
    source.pause()
  } })
  deepEqual(told, ['a'])
  source.resume()
  source.resume()
  source.end()
  deepEqual(told, ['a', 'b', 'c'])
  source.resume()
  deepEqual(told, ['a', 'b', 'c', 'end'])
})

test('body: a break is told behind the bytes that came before it', () => {
  const { told, calls, source, reader } = start()
  source.read(reader)
  source.pause()
  source.push(Buffer.from('last words'))
  source.fail(new Error('broken'))
  deepEqual(told, [])
  source.resume()
  deepEqual(told, ['last words', 'broken'])
  equal(calls.filter((call) => call === 'close').length, 1)
})

test('body: an abort is told at once, also to one that is paused', () => {
  const { told, source, reader } = start()
  source.read(reader)
  source.pause()
  source.push(Buffer.from('never read'))
  source.fail(new Error('left'), true)
  deepEqual(told, ['left'])
})

test('body: after destroy nothing is told, and it closes once', () => {
  const { told, calls, source, reader } = start()
  source.read(reader)
  calls.length = 0
  source.destroy()
  source.destroy()
  equal(source.push(Buffer.from('late')), false)
  source.end()
  source.fail(new Error('late'))
  deepEqual(told, [])
  deepEqual(calls, ['close'])
})

test('body: bytes that are there, and those of a stream, are told whole', async () => {
  deepEqual(await whole(createBody(Buffer.from('all'))), ['all', 'end'])
  const stream = new PassThrough()
  stream.write('a')
  stream.end('b')
  deepEqual(await whole(fromReadable(stream)), ['ab', 'end'])
})

test('body: a stream that broke before it was read, or closes without an end, fails', async () => {
  const broken = new PassThrough()
  const body = fromReadable(broken)
  broken.destroy(new Error('broken before'))
  await new Promise((resolve) => broken.on('close', resolve))
  deepEqual(await whole(body), ['broken before'])
  const cut = new PassThrough()
  const told = whole(fromReadable(cut))
  cut.destroy()
  deepEqual(await told, ['the upstream closed the connection inside its answer; try again'])
})

test('body: as a stream it holds its source back and ends with it', async () => {
  const { source } = start()
  const readable = toReadable(source)
  equal(source.push(Buffer.alloc(100_000, 'x')), true) // told to the stream, which is full now
  source.push(Buffer.alloc(50_000, 'y'))
  source.end()
  equal(source.held, 50_000)
  equal((await text(readable)).length, 150_000)
})
