import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { repairSchema, repairToolSchema as tool } from '../src/dialects/schema.ts'
import type { JsonObject } from '../src/hub/types.ts'

test('K3: anyOf at the root becomes one object that accepts each branch', () => {
  const merged = tool({
    anyOf: [
      { type: 'object', properties: { a: { type: 'string' }, id: { type: 'number' } }, required: ['a', 'id'] },
      { type: 'object', properties: { b: { type: 'string' } }, required: ['b', 'id'] },
    ],
  })
  deepStrictEqual(merged['type'], 'object')
  deepStrictEqual(merged['properties'], { a: { type: 'string' }, id: { type: 'number' }, b: { type: 'string' } })
  deepStrictEqual(merged['required'], ['id'])
  ok(String(merged['description']).includes('anyOf'))
  strictEqual(merged['anyOf'], undefined)
})

test('K3: properties with the names of object members stay', () => {
  const properties = JSON.parse('{"constructor":{"type":"string"},"toString":{"type":"number"},"__proto__":{"type":"boolean"}}') as JsonObject
  strictEqual(JSON.stringify(tool({ anyOf: [{ type: 'object', properties }] })['properties']), JSON.stringify(properties))
})

test('K3: allOf at the root demands what every branch demands', () => {
  const merged = tool({
    $defs: { Base: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] } },
    allOf: [{ $ref: '#/$defs/Base' }, { properties: { n: { type: 'number' } }, required: ['n'] }],
  })
  deepStrictEqual(merged['required'], ['id', 'n'])
  deepStrictEqual(Object.keys(merged['properties'] as JsonObject), ['id', 'n'])
})

test('K4: references stay references, and those of the root are written out', () => {
  const schema: JsonObject = {
    type: 'object',
    properties: { node: { $ref: '#/$defs/Node' } },
    $defs: { Node: { type: 'object', description: 'a node', properties: { next: { $ref: '#/$defs/Node' } } } },
  }
  deepStrictEqual(tool(schema), schema)
  deepStrictEqual(tool({ $ref: '#/$defs/Node', $defs: schema['$defs'] }), { ...schema['$defs']!['Node' as never] as JsonObject, $defs: schema['$defs'] })
})

test('K4: references that multiply at the root end at once', { timeout: 10_000 }, () => {
  const $defs: JsonObject = {}
  for (let level = 0; level < 40; level++) {
    const next: JsonObject = { $ref: `#/$defs/L${level + 1}` }
    $defs[`L${level}`] = { allOf: [next, next], properties: { [`p${level}`]: {} } }
  }
  const properties = tool({ $ref: '#/$defs/L0', $defs })['properties'] as JsonObject
  deepStrictEqual(Object.keys(properties).sort(), Object.keys($defs).map((name) => name.replace('L', 'p')).sort())
})

test('K4: a root that refers to itself ends', () => {
  deepStrictEqual(tool({ $ref: '#' })['type'], 'object')
})

test('K5: null and missing members are repaired to the smallest valid schema', () => {
  deepStrictEqual(tool({}), { type: 'object', properties: {} })
  deepStrictEqual(tool({ type: 'object', properties: null, required: null, description: null }), { type: 'object', properties: {} })
  deepStrictEqual(tool({ type: ['object', 'null'], properties: { list: { type: 'array' }, inner: { properties: {} }, any: null } }), {
    type: 'object',
    properties: { list: { type: 'array', items: {} }, inner: { type: 'object', properties: {} }, any: {} },
  })
})

test('K6: draft keywords and properties named like keywords stay', () => {
  const schema: JsonObject = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { required: { type: 'boolean', default: null }, items: { type: 'string', format: 'date', maxLength: 9 } },
    required: ['required'],
    additionalProperties: false,
  }
  deepStrictEqual(tool(schema), schema)
})

test('C6: a sound schema keeps the order of its keys', () => {
  const schema: JsonObject = { properties: { z: { type: 'string' }, a: { type: 'array', items: {} } }, type: 'object', additionalProperties: true }
  strictEqual(JSON.stringify(repairSchema(schema)), JSON.stringify(schema))
})

test('schema: closed objects allow nothing more', () => {
  deepStrictEqual(repairSchema({ type: 'object', properties: { a: { type: 'object', properties: {} } } }, true), {
    type: 'object',
    properties: { a: { type: 'object', properties: {}, additionalProperties: false } },
    additionalProperties: false,
  })
})

test('schema: a very deep schema does not exhaust the stack', () => {
  let deep: JsonObject = { type: 'string' }
  for (let level = 0; level < 1000; level++) deep = { type: 'object', properties: { x: deep } }
  strictEqual(tool(deep)['type'], 'object')
  let branches: JsonObject = { type: 'object' }
  for (let level = 0; level < 1000; level++) branches = { anyOf: [branches] }
  strictEqual(tool(branches)['type'], 'object')
})
