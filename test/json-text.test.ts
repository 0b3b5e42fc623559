import { deepStrictEqual, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { locatePath, parseJsonText } from '../src/config/json-text.ts'
import { forAll } from './helpers/property.ts'

const MISTAKES: [name: string, text: string, place: string][] = [
  ['nothing', '', '1:1'],
  ['a comma too many', '{\n  "a": 1,\n}', '3:1'],
  ['a comma too many in a list', '[1, 2, ]', '1:8'],
  ['a missing comma', '{\n  "a": 1\n  "b": 2\n}', '3:3'],
  ['a comment', '{\n  // port\n  "a": 1\n}', '2:3'],
  ['single quotes', "{'a': 1}", '1:2'],
  ['a bare word', '{"a": yes}', '1:7'],
  ['a missing end', '{"a": [1, 2', '1:12'],
  ['a line break in a text', '{"a": "b\nc"}', '1:7'],
  ['more after the end', '{} {}', '1:4'],
  ['a leading zero', '{"a": 01}', '1:8'],
]
for (const [name, text, place] of MISTAKES) {
  test(`json text: ${name} is found at ${place}`, () => {
    throws(() => parseJsonText(text, 'f.json'), { code: 'config_invalid', message: new RegExp(`^f\\.json:${place}: not valid JSON`) })
  })
}

test('json text: a name that is there twice is refused, since one of the two would be lost', () => {
  throws(() => parseJsonText('{"a": 1,\n "b": {"c": 1, "c": 2}}', 'f'), { code: 'config_invalid', message: /^f:2:16: "c" is there twice/ })
})

test('json text: an empty file is told what to do with it', () => {
  throws(() => parseJsonText(' \n', 'f'), { message: /^f:2:1: .* write \{\} into it or delete it$/ })
})

test('json text: a file in the encoding of Windows editors is told of', () => {
  const text = Buffer.from('\uFEFF{"a": 1}', 'utf16le').toString('utf8')
  throws(() => parseJsonText(text, 'f'), { message: /^f:1:1: .*; save the file as UTF-8$/ })
})

test('json text: the message of a mistake does not quote what is around it', () => {
  throws(() => parseJsonText('{"key": "sk-secret" "x": 1}', 'f'), (error: Error) => !error.message.includes('secret'))
})

test('json text: a byte order mark is tolerated', () => {
  deepStrictEqual(parseJsonText('\uFEFF{"a":1}', 'f'), { a: 1 })
  deepStrictEqual(locatePath('\uFEFF{"a":1}', 'a'), { line: 1, column: 2 })
})

test('json text: a path is found where its member begins', () => {
  const text = '{\n  "a": { "b.c": [1, {"d": "}"}, "]"] },\n  "e": -1.5e3\n}'
  deepStrictEqual(locatePath(text, 'a'), { line: 2, column: 3 })
  deepStrictEqual(locatePath(text, 'a["b.c"][1].d'), { line: 2, column: 22 })
  deepStrictEqual(locatePath(text, 'e'), { line: 3, column: 3 })
})

test('json text: what is missing is found at its parent', () => {
  deepStrictEqual(locatePath('{"a": {}}', 'a.b.c[3]'), { line: 1, column: 2 })
  strictEqual(locatePath('{"a": {}}', 'b'), undefined)
})

test('json text: a name with brackets has a place, and so has what is below it', () => {
  deepStrictEqual(locatePath('{\n"a[b": {} }', '["a[b"].c'), { line: 2, column: 1 })
})

test('json text: whatever is not valid is reported inside the text', async () => {
  const alphabet = ['{', '}', '[', ']', ',', ':', '"a"', '"\\n"', '"', '1', '-', '0', '.5', 'e', 'true', 'null', ' ', '\n', '\\']
  await forAll((random) => Array.from({ length: 1 + random(9) }, () => alphabet[random(alphabet.length)]).join(''), (text) => {
    const broken = findMistake(text)
    if (broken === undefined) return void JSON.parse(text)
    // All before the reported place is fine: some ending makes it valid, so JSON.parse cannot have failed earlier.
    throws(() => JSON.parse(text))
    const offset = text.split('\n').slice(0, broken.line - 1).join('\n').length + (broken.line > 1 ? 1 : 0) + broken.column - 1
    strictEqual(offset <= text.length, true)
    const native = /position (\d+)/.exec(messageOf(() => JSON.parse(text)))?.[1]
    // V8 points at the end of a broken number or text, the scan at its beginning.
    if (native !== undefined) strictEqual(offset <= Number(native), true, `${JSON.stringify(text)}: ${offset} after ${native}`)
  }, 2000)
})

function messageOf(run: () => unknown): string {
  try {
    run()
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

function findMistake(text: string): { line: number; column: number } | undefined {
  const place = /^f:(\d+):(\d+):/.exec(messageOf(() => parseJsonText(text, 'f')))
  return place === null ? undefined : { line: Number(place[1]), column: Number(place[2]) }
}

test('json: single quotes, or none, are answered with the ones that JSON has', () => {
  for (const text of ["{'port': 1}", '{port: 1}']) {
    throws(() => parseJsonText(text, 'x.json'), { message: /^x\.json:1:2: not valid JSON: unexpected "['p]"; names and texts stand in double quotes$/ })
  }
})
