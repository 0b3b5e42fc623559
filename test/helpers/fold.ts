/**
 * A whole stream of hub events folded at once.
 * @module
 */
import { createFold } from '../../src/hub/fold.ts'
import type { HubEvent, HubReply } from '../../src/hub/types.ts'

/** @throws DarioError as a fold does. */
export function foldEvents(events: Iterable<HubEvent>): HubReply {
  const fold = createFold()
  for (const event of events) fold.push(event)
  return fold.result()
}
