/**
 * Our version, as package.json states it, and the oldest Node that we run on (pitfall W15).
 * @module
 */
import { readFileSync } from 'node:fs'

export function readVersion(): string {
  const file = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/** undefined: this Node will do; else a sentence. */
export function checkNode(node: string): string | undefined {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return undefined
  return `dario needs Node 20.19 or newer; this is ${node}. Get one from https://nodejs.org`
}
