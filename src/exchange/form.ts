/**
 * Looks into a multipart form (audio, images, files): only its `model` field counts, among parts that may be large.
 * https://www.rfc-editor.org/rfc/rfc7578
 * @module
 */
import type { Peek } from './peek.ts'

/** The field's own headers, a blank line, its value. */
const MODEL = /^name="model"[^\r\n]*(?:\r\n[^\r\n]+)*\r\n\r\n([^\r\n]{1,200})/
/** Far more than the field needs. */
const LOOK_BYTES = 1024

/** undefined when the form names no model. */
export function peekForm(body: Buffer): Peek | undefined {
  const at = body.indexOf('name="model"')
  const [whole, model] = (at === -1 ? null : MODEL.exec(body.toString('latin1', at, at + LOOK_BYTES))) ?? []
  if (whole === undefined || model === undefined) return undefined
  const end = at + whole.length
  return {
    model: Buffer.from(model, 'latin1').toString().trim(),
    stream: false,
    read: () => undefined,
    readHead: () => [],
    withModel: (other) => Buffer.concat([body.subarray(0, end - model.length), Buffer.from(other), body.subarray(end)]),
  }
}
