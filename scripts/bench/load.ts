/**
 * Load generator, a process of its own: keeps N requests going for a time, and compares every answer with what the
 * upstream sent. One incomplete answer makes the whole row invalid.
 * @module
 */
import { Agent, request } from 'node:http'
import { makeEvents, makeReply, makeRequest, makeText, TRAFFIC } from './traffic.ts'
import type { Shape } from './traffic.ts'

export interface Job {
  url: string
  shape: Shape
  dialect: 'anthropic' | 'chat'
  connections: number
  /** Milliseconds; requests under way at the end are finished. */
  duration: number
}

export interface Result {
  requests: number
  events: number
  /** Milliseconds. */
  wall: number
  failure: string | undefined
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

/** What is wrong with an answer, if anything. */
function findFault(job: Job, body: Buffer): string | undefined {
  const { events } = TRAFFIC[job.shape]
  if (job.dialect === 'anthropic') {
    const whole = events === 0 ? makeReply() : makeEvents(events).join('')
    return body.equals(Buffer.from(whole)) ? undefined : `${body.length} bytes, not those that were sent: ${body.toString().slice(-200)}`
  }
  const received = body.toString()
  if (events === 0) {
    const content = (JSON.parse(received) as { choices?: { message?: { content?: string } }[] }).choices?.[0]?.message?.content
    return content === makeText(7) || content === makeText(40) ? undefined : `wrong answer: ${received.slice(0, 300)}`
  }
  const frames = received.split('\n\n').filter((frame) => frame.startsWith('data: '))
  if (frames.at(-1) !== 'data: [DONE]') return `no [DONE]: ${received.slice(-300)}`
  const content = frames.slice(0, -1)
    .map((frame) => (JSON.parse(frame.slice(6)) as { choices: { delta?: { content?: string } }[] }).choices[0]?.delta?.content ?? '')
    .join('')
  return content === makeText(events - 5) ? undefined : `the text is not whole: ${content.slice(-200)}`
}

function ask(job: Job, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(job.url)
    const path = job.dialect === 'anthropic' ? '/v1/messages' : '/v1/chat/completions'
    const headers = {
      'content-type': 'application/json', 'content-length': body.length, 'anthropic-version': '2023-06-01', authorization: 'Bearer bench',
    }
    const call = request({ agent, host: hostname, port, method: 'POST', path, headers }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        const whole = Buffer.concat(chunks)
        if (answer.statusCode === 200) resolve(whole)
        else reject(new Error(`status ${answer.statusCode}: ${whole.toString().slice(0, 300)}`))
      })
    })
    call.on('error', reject)
    call.end(body)
  })
}

async function run(job: Job): Promise<Result> {
  const { events } = TRAFFIC[job.shape]
  const body = Buffer.from(makeRequest(job.shape, job.dialect, events > 0))
  const start = performance.now()
  const result: Result = { requests: 0, events: 0, wall: 0, failure: undefined }
  let expected: Buffer | undefined // the first answer that was checked: equal ones need no second look
  const client = async (): Promise<void> => {
    do {
      const answer = await ask(job, body)
      if (job.dialect === 'chat' || expected === undefined || !answer.equals(expected)) {
        const fault = findFault(job, answer)
        if (fault !== undefined) throw new Error(fault)
        expected = answer
      }
      result.requests++
      result.events += events
    } while (performance.now() - start < job.duration && result.failure === undefined)
  }
  try {
    await Promise.all(Array.from({ length: job.connections }, client))
  } catch (error) {
    result.failure = (error as Error).message
  }
  result.wall = performance.now() - start
  return result
}

process.on('message', (job: Job) => void run(job).then((result) => process.send?.(result)))
