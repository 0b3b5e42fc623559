/**
 * Loaded before every test file: one that left something open after its last test would hang the whole run in silence.
 * It fails instead, and says what is open.
 * @module
 */
import { after } from 'node:test'

/** Milliseconds after the last test in which servers, sockets and child processes may go. */
const GRACE = 30_000

after(() => {
  setTimeout(() => {
    console.error(`${process.argv[1]} ended its tests ${GRACE} ms ago and holds: ${process.getActiveResourcesInfo().join(', ')}`)
    process.exit(1)
  }, GRACE).unref()
})
