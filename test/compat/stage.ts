/**
 * The strict stand-in behind a real dario that sends everything to one model of one backend.
 * @module
 */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { backendsAt, startProxy } from '../helpers/proxy.ts'
import { startStandIn } from './strict/server.ts'
import type { Api, StandIn } from './strict/server.ts'

export const BACKENDS: readonly Api[] = ['anthropic', 'chat', 'responses']

export interface Stage {
  /** Of dario, without `/v1`. */
  url: string
  standIn: StandIn
  backend: Api
  model: string
}

export const MODEL: Record<Api, string> = { anthropic: 'claude-sonnet-4-5', chat: 'gpt-5.1', responses: 'gpt-5.1' }

export async function setStage(context: TestContext, backend: Api, model: string = MODEL[backend]): Promise<Stage> {
  const standIn = await startStandIn(context)
  const { url } = await startProxy(context, { backends: backendsAt(standIn.url), routes: [{ model: '*', to: [`${backend}:${model}`] }] })
  return { url, standIn, backend, model }
}

/** Nothing was refused, and everything went where it should. */
export function judgeRequests({ standIn, backend }: Stage, requests?: number): void {
  deepStrictEqual(standIn.refusals(), [])
  const asked = standIn.recorded.filter(({ api }) => api !== undefined)
  for (const { api } of asked) strictEqual(api, backend)
  if (requests !== undefined) strictEqual(asked.length, requests)
}
