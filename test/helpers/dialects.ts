/**
 * The three dialects by name, for tests that go over all of them.
 * @module
 */
import { anthropicDialect } from '../../src/dialects/anthropic/dialect.ts'
import { chatDialect } from '../../src/dialects/chat/dialect.ts'
import type { Dialect } from '../../src/dialects/dialect.ts'
import { responsesDialect } from '../../src/dialects/responses/dialect.ts'
import type { DialectName } from '../../src/hub/types.ts'

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = { anthropic: anthropicDialect, chat: chatDialect, responses: responsesDialect }
export const NAMES: readonly DialectName[] = ['anthropic', 'chat', 'responses']
