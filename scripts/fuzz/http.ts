/**
 * Fuzzers of the HTTP answers of upstreams: whole ones come out as they were made, spoilt ones end in an error that has a
 * code, and where the bytes were cut makes no difference.
 * @module
 */
import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import { createResponseParser } from '../../src/backends/response-parser.ts'
import { cutAnywhere } from '../../test/helpers/property.ts'
import type { Random } from '../../test/helpers/property.ts'
import { mutateBytes, pick } from './make.ts'
import type { Check } from './make.ts'

interface Told { status: number; body: string; ends: number; isWhole: boolean }

function parse(pieces: readonly Buffer[], method: string): Told | string {
  const told: Told = { status: 0, body: '', ends: 0, isWhole: false }
  const parser = createResponseParser()
  let isOver = false
  parser.expect(method, {
    head(status) {
      ok(told.status === 0 && status >= 200)
      told.status = status
    },
    body(bytes) {
      ok(told.ends === 0 && told.status > 0 && bytes.length > 0)
      told.body += bytes.toString('latin1')
    },
    end(persists) {
      told.ends++
      isOver = !persists
    },
  })
  try {
    for (const piece of pieces) if (!isOver) parser.push(Buffer.from(piece)) // a copy: it is taken over
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!code.startsWith('HTTP_')) throw error
    if (told.ends === 0) return code
  }
  told.isWhole = told.ends > 0 || parser.finish()
  return told
}

function makeChunks(random: Random, body: Buffer): string {
  let text = ''
  for (let at = 0; at < body.length;) {
    const size = 1 + random(Math.min(body.length - at, pick(random, [1, 20, 3000])))
    const digits = pick(random, [size.toString(16), size.toString(16).toUpperCase(), `00${size.toString(16)}`])
    text += `${digits}${pick(random, ['', '', ';a=b', ' ;x="y"'])}\r\n${body.toString('latin1', at, at + size)}\r\n`
    at += size
  }
  return `${text}${pick(random, ['0', '000', '0;last'])}\r\n${pick(random, ['', '', 'x-sum: 1\r\n', 'a: b\r\nc: d\r\n'])}\r\n`
}

function makeAnswer(random: Random): { bytes: Buffer; body: string; status: number } {
  const body = Buffer.from(Array.from({ length: random(pick(random, [3, 60, 5000])) }, () => random(256)))
  const status = pick(random, [200, 200, 201, 400, 429, 529])
  const interim = pick(random, ['', '', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n'])
  const head = `${interim}HTTP/1.1 ${status}${pick(random, ['', ' ', ' OK'])}\r\n${pick(random, ['', 'x-a: 1\r\n', 'X-A:\t1 \r\nx-a: 2\r\n'])}`
  const rest = pick(random, [
    () => `content-length: ${body.length}\r\n\r\n${body.toString('latin1')}`,
    () => `Transfer-Encoding: Chunked\r\n\r\n${makeChunks(random, body)}`,
    () => `\r\n${body.toString('latin1')}`,
  ])()
  return { bytes: Buffer.from(head + rest, 'latin1'), body: body.toString('latin1'), status }
}

const wholeAnswer: Check = (random) => {
  const { bytes, body, status } = makeAnswer(random)
  deepStrictEqual(parse(cutAnywhere(bytes, random), 'POST'), { status, body, ends: 1, isWhole: true })
}

const spoiltAnswer: Check = (random) => {
  let { bytes } = makeAnswer(random)
  for (let times = 1 + random(3); times > 0; times--) bytes = mutateBytes(random, bytes)
  const method = pick(random, ['POST', 'GET', 'HEAD'])
  equal(JSON.stringify(parse(cutAnywhere(bytes, random), method)), JSON.stringify(parse([bytes], method)))
}

export const HTTP: Readonly<Record<string, Check>> = { 'http answer': wholeAnswer, 'spoilt http answer': spoiltAnswer }
