import { equal, ok } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createWaiting, reuse } from '../src/observe/waiting.ts'
import { createHome } from './helpers/command.ts'

test('append: of what was written only its own chunks are filled again, however large the pool of small buffers is', (t) => {
  const { poolSize } = Buffer
  t.after(() => { Buffer.poolSize = poolSize })
  Buffer.poolSize = 65_536 // as from Node 24 on
  Buffer.from('x'.repeat(poolSize / 4)) // and once more: the pool at hand is used up
  Buffer.from('x'.repeat(poolSize / 4))
  Buffer.from('x'.repeat(poolSize / 4))
  const foreign = Buffer.from('somebody else, in the pool')
  equal(foreign.buffer.byteLength, 65_536)
  reuse([foreign])
  const waiting = createWaiting(1_000_000)
  waiting.add('y'.repeat(20_000))
  equal(Buffer.concat(waiting.take()).length, 20_000)
  equal(String(foreign), 'somebody else, in the pool')
})

test('append: a chunk that was written is filled again', () => {
  const waiting = createWaiting(1_000_000)
  waiting.add('first')
  const taken = waiting.take()
  const [first] = taken
  reuse(taken)
  waiting.add('second')
  const [second] = waiting.take()
  equal(second?.buffer, first?.buffer)
  equal(String(second), 'second')
})

test('append: lines that cannot be written for a while need little more room than they are long', () => {
  const waiting = createWaiting(1_000_000)
  const lines = Array.from({ length: 500 }, (_, index) => `line ${index}\n`)
  for (const line of lines) {
    waiting.add(line)
    waiting.putBack(waiting.take()) // a disk that is full
  }
  const taken = waiting.take()
  equal(Buffer.concat(taken).toString(), lines.join(''))
  const room = [...new Set(taken.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0)
  ok(room < 200_000, `${room} bytes for ${lines.join('').length}`)
})

test('append: bytes and text that wait come out in the order in which they were added', () => {
  const waiting = createWaiting(1_000_000)
  const added = ['a', Buffer.from('ä'), 'b'.repeat(70_000), Buffer.alloc(70_000, 'c'), Buffer.from('d'), 'é', 'f'.repeat(2000), Buffer.alloc(64_000, 'g')]
  for (const one of added) waiting.add(one)
  equal(waiting.size, Buffer.byteLength(added.join('')))
  equal(Buffer.concat(waiting.take()).toString(), added.join(''))
})

test('append: bytes that wait are a copy', () => {
  const waiting = createWaiting(1_000_000)
  const bytes = Buffer.from('mine')
  waiting.add(bytes)
  bytes.fill('x')
  equal(String(waiting.take()[0]), 'mine')
})

test('append: what is added while a program ends, behind what waited, is written too', (t) => {
  const file = join(createHome(t), 'lines')
  const script = `
    import { createAppender, keepAtExit } from ${JSON.stringify(new URL('../src/observe/append.ts', import.meta.url).href)}
    const { add } = createAppender(console.error)
    add(process.argv[1], 'first\\n')
    keepAtExit(() => add(process.argv[1], 'last\\n'))
    process.exit(0)`
  const { stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', script, file], { encoding: 'utf8' })
  equal(stderr, '')
  equal(readFileSync(file, 'utf8'), 'first\nlast\n')
})
