/**
 * Names and ids as Anthropic allows them, changed the same way on every turn so that history, cache and answers agree.
 * @module
 */

/** Letters, digits, `_` and `-`, at most 128; what had to change ends in a hash of the original (pitfalls K1, K2). */
export function toLegalName(name: string): string {
  if (/^[\w-]{1,128}$/.test(name)) return name
  return `${name.replaceAll(/[^\w-]/g, '_').slice(0, 119)}_${hash(name)}`
}

/** FNV-1a, 32 bits: a short mark that needs no module and is no secret. */
function hash(text: string): string {
  let state = 0x811c9dc5
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193)
  return (state >>> 0).toString(16).padStart(8, '0')
}
