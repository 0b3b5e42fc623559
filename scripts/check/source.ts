/**
 * Reads one source file without a compiler: its imports, its comments and the effects that its code can have.
 * Effects are found by what is imported from Node and by the few globals that reach outside.
 * @module
 */

/** What a file can do to the world outside of its own memory. */
export const EFFECTS = ['network', 'listens', 'spawns', 'reads files', 'writes files', 'reads environment'] as const
export type Effect = (typeof EFFECTS)[number]

export interface Import {
  from: string
  /** Names taken, as the module calls them; `*` for all of it. */
  names: string[]
  /** Local name of a whole-module import. */
  namespace: string | undefined
  /** Erased by the compiler. */
  type: boolean
  dynamic: boolean
}

export interface Comment {
  line: number
  text: string
}

export interface Source {
  lines: number
  /** The text without comments. */
  code: string
  /** The text without comments, strings, and regular expressions: positions are those of the file. */
  bare: string
  comments: Comment[]
  imports: Import[]
  /** The docstring that opens the file, without its stars. */
  docstring: string | undefined
  /** First sentence of the docstring. */
  purpose: string | undefined
}

const BEFORE_REGEXP = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|await|yield))\s*$/

/** Blanks comments (in `code`) and also literals (in `bare`), newlines kept. */
function scan(text: string): { code: string; bare: string; comments: Comment[] } {
  const code = [...text.split('')]
  const bare = [...code]
  const comments: Comment[] = []
  const blank = (target: string[], from: number, to: number): void => {
    for (let at = from; at < to; at++) if (target[at] !== '\n') target[at] = ' '
  }
  const depths: number[] = [] // of the braces at which an open `${` ends
  let depth = 0
  let at = 0

  /** From behind the opening backtick or the closing brace of a `${`. */
  const skipTemplate = (from: number): number => {
    for (let end = from; end < text.length; end++) {
      if (text[end] === '\\') end++
      else if (text[end] === '`') return blank(bare, from, end), end + 1
      else if (text[end] === '$' && text[end + 1] === '{') {
        blank(bare, from, end)
        depths.push(depth++)
        return end + 2
      }
    }
    return text.length
  }
  const skipQuoted = (from: number, close: string): number => {
    let inClass = false
    for (let end = from + 1; end < text.length && text[end] !== '\n'; end++) {
      if (text[end] === '\\') end++
      else if (close === '/' && text[end] === '[') inClass = true
      else if (close === '/' && text[end] === ']') inClass = false
      else if (text[end] === close && !inClass) return blank(bare, from + 1, end), end + 1
    }
    return from + 1
  }

  while (at < text.length) {
    const two = text.slice(at, at + 2)
    const one = text[at] ?? ''
    if (two === '//' || two === '/*') {
      const found = text.indexOf(two === '//' ? '\n' : '*/', at + 2)
      const end = found === -1 ? text.length : two === '//' ? found : found + 2
      const last = comments.at(-1)
      const line = text.slice(0, at).split('\n').length
      const words = text.slice(at, end).replace(/^\/\*+|\*\/$|^\/\/ ?/g, '').replace(/^\s*\* ?/gm, '').trim()
      const alone = text.slice(text.lastIndexOf('\n', at) + 1, at).trim() === ''
      // A comment that continues on the next line is one comment.
      if (two === '//' && alone && last !== undefined && last.line + last.text.split('\n').length === line) last.text += `\n${words}`
      else comments.push({ line, text: words })
      blank(code, at, end)
      blank(bare, at, end)
      at = end
    } else if (one === '"' || one === "'") at = skipQuoted(at, one)
    else if (one === '`') at = skipTemplate(at + 1)
    else if (one === '}' && depths.at(-1) === depth - 1) {
      depth = depths.pop() ?? 0
      at = skipTemplate(at + 1)
    } else if (one === '/' && BEFORE_REGEXP.test(bare.slice(Math.max(0, at - 40), at).join(''))) at = skipQuoted(at, '/')
    else {
      if (one === '{') depth++
      if (one === '}') depth--
      at++
    }
  }
  return { code: code.join(''), bare: bare.join(''), comments }
}

function readNames(clause: string): { names: string[]; namespace: string | undefined; allTypes: boolean } {
  const braces = /\{([^}]*)\}/.exec(clause)?.[1]
  const rest = clause.replace(/\{[^}]*\}/, '').replace(/,/g, ' ')
  const namespace = /\*\s*as\s+([\w$]+)/.exec(rest)?.[1] ?? /^\s*([\w$]+)\s*$/.exec(rest)?.[1]
  const parts = (braces ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '')
  const names = parts.filter((part) => !part.startsWith('type ')).map((part) => part.split(/\s+as\s+|\s*:\s*/)[0] ?? part)
  return { names, namespace, allTypes: braces !== undefined && parts.length > 0 && names.length === 0 && namespace === undefined }
}

function readImports(code: string, bare: string): Import[] {
  const imports: Import[] = []
  // The quotes of a real import survive in `bare`; its path does not, and is read from `code` at the same place.
  const pathAt = (quote: number): string => /^(['"])([^'"]*)\1/.exec(code.slice(quote))?.[2] ?? ''
  for (const found of bare.matchAll(/(?:^|[;\n])\s*(?:import|export)\s+(type\s+)?([^'"();]*?)\s*\bfrom\s*(?=['"])/g)) {
    const { names, namespace, allTypes } = readNames(found[2] ?? '')
    imports.push({
      from: pathAt(found.index + found[0].length),
      names, namespace,
      type: found[1] !== undefined || allTypes,
      dynamic: false,
    })
  }
  for (const found of bare.matchAll(/(?:^|[;\n])\s*import\s*(?=['"])/g)) {
    imports.push({ from: pathAt(found.index + found[0].length), names: [], namespace: undefined, type: false, dynamic: false })
  }
  for (const found of bare.matchAll(/(?<![.\w$])(typeof\s+)?(import|require)\s*\(\s*/g)) {
    if (found[1] !== undefined) continue
    const before = /(?:const|let|var|import)\s+(\{[^}]*\}|[\w$]+)\s*=\s*(?:await\s+)?$/.exec(bare.slice(0, found.index))?.[1]
    const { names, namespace } = readNames(before ?? '')
    const from = pathAt(found.index + found[0].length)
    const whole = before === undefined ? ['*'] : names
    imports.push({ from, names: whole, namespace, type: false, dynamic: found[2] === 'import' })
  }
  return imports
}

export function readSource(text: string): Source {
  const { code, bare, comments } = scan(text)
  const opening = /^(?:#![^\n]*\n)?\s*\/\*\*([\s\S]*?)\*\//.exec(text)?.[1]
  const docstring = opening?.replace(/^\s*\* ?/gm, '').trim()
  const prose = docstring?.split(/\n?@module/)[0]?.replace(/\s+/g, ' ').trim()
  return {
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    code, bare, comments, docstring,
    imports: readImports(code, bare),
    purpose: prose === undefined ? undefined : /^.*?[.?](?=\s|$)/.exec(prose)?.[0] ?? prose,
  }
}

const READS = /^(?:read|access|exists|stat|lstat|fstat|watch|realpath|opendir|glob|statfs|createReadStream|openAsBlob)/
const WRITES =
  /^(?:write|append|mkdir|mkdtemp|rm|rename|unlink|f?l?chmod|f?l?chown|copy|cp|f?truncate|symlink|link|f?l?utimes|createWriteStream)/
const CONNECTS = new Set(['request', 'get', 'connect', 'createConnection', 'Socket', 'TLSSocket', 'ClientRequest', 'createSocket'])
const LISTENS = new Set(['createServer', 'createSecureServer', 'Server'])
const SPAWNERS = new Set(['node:child_process', 'node:worker_threads', 'node:cluster'])

/** The members of a Node module that the file uses: named ones, and those behind a namespace. */
function usedNames(item: Import, bare: string): string[] {
  if (item.namespace === undefined) return item.names
  const members = [...bare.matchAll(new RegExp(`(?<![.\\w$])${item.namespace.replace(/\$/g, '\\$')}\\s*\\.\\s*([\\w$]+)`, 'g'))]
  return [...item.names, ...members.map((member) => member[1] ?? '')]
}

function effectsOfFile(names: string[], code: string): Effect[] {
  const effects: Effect[] = []
  if (names.some((name) => READS.test(name) || name === '*')) effects.push('reads files')
  if (names.some((name) => WRITES.test(name) || name === '*')) effects.push('writes files')
  if (names.some((name) => name === 'open' || name === 'openSync')) {
    const flags = [...code.matchAll(/\bopen(?:Sync)?\([^()]*(?:\([^()]*\)[^()]*)*?,\s*'([rwax+]+)'/g)].map((call) => call[1] ?? '')
    if (flags.length === 0 || flags.some((flag) => flag.startsWith('r') || flag.includes('+'))) effects.push('reads files')
    if (flags.some((flag) => flag !== 'r')) effects.push('writes files')
  }
  return effects
}

/** A call of the global `fetch`, not the definition of a method of that name. */
function callsFetch(bare: string): boolean {
  if (/(?<!typeof\s+)globalThis\s*\.\s*(?:fetch|WebSocket|EventSource)\b/.test(bare)) return true
  if (/\bnew\s+(?:WebSocket|EventSource)\b/.test(bare)) return true
  for (const found of bare.matchAll(/(?<![.\w$])fetch\s*\(/g)) {
    const line = bare.slice(bare.lastIndexOf('\n', found.index) + 1, found.index).trim()
    if (/\bfunction\*?$/.test(line)) continue
    let open = 1
    let end = found.index + found[0].length
    while (end < bare.length && open > 0) {
      if (bare[end] === '(') open++
      if (bare[end] === ')') open--
      end++
    }
    const defines = (line === '' || line === 'async') && /^\s*[{:]/.test(bare.slice(end))
    if (!defines) return true
  }
  return false
}

/** Every effect that the code can have by itself, in the order of EFFECTS. */
export function readEffects(source: Source): Effect[] {
  const found = new Set<Effect>()
  if (callsFetch(source.bare)) found.add('network')
  if (/\bprocess\s*\.\s*(?:env\b|loadEnvFile)/.test(source.bare) || /\benv\b[^=;\n]*\}\s*=\s*process\b/.test(source.bare)) {
    found.add('reads environment')
  }
  for (const item of source.imports) {
    if (item.type) continue
    const name = item.from.startsWith('node:') ? item.from : `node:${item.from}`
    const used = usedNames(item, source.bare)
    if (['node:http', 'node:https', 'node:net', 'node:tls', 'node:http2', 'node:dgram'].includes(name)) {
      if (used.some((member) => CONNECTS.has(member) || member === '*')) found.add('network')
      if (used.some((member) => LISTENS.has(member) || member === '*')) found.add('listens')
    }
    if (name === 'node:dns' || name === 'node:dns/promises') found.add('network')
    if (SPAWNERS.has(name)) found.add('spawns')
    if (name === 'node:fs' || name === 'node:fs/promises') for (const effect of effectsOfFile(used, source.code)) found.add(effect)
    if (name === 'node:process' && used.some((member) => member === 'env' || member === '*')) found.add('reads environment')
  }
  return EFFECTS.filter((effect) => found.has(effect))
}
