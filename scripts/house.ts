/**
 * The plan of the house, as `scripts/check.ts` enforces it: how long each file may be, which effects it has, who may
 * import whom, and the order in which to read it all. Growth, a new effect or a new arrow is a change of this file.
 * @module
 */
import type { Effect } from './check/source.ts'

/** Lines of `src` and `bin` together, everything counted. */
export const CEILING = 7_500

/** Lines of a file without a number of its own. */
export const DEFAULT_LINES = 250

export interface FileRule {
  lines?: number
  effects?: readonly Effect[]
}

/**
 * Files that differ from the default: 250 lines, no effects. `src/dialects/*` stands for every file below it; an
 * exact name wins over a pattern, a longer pattern over a shorter one.
 */
export const FILES: Readonly<Record<string, FileRule>> = {
  'bin/dario.js': { lines: 5 },
  'src/index.ts': { lines: 30 },
  'src/errors.ts': { lines: 80 },
  'src/sse.ts': { lines: 90 },
  'src/config.ts': { lines: 250, effects: ['reads files', 'reads environment'] },
  'src/proxy.ts': { lines: 250 },
  'src/hub/*': {},
  'src/dialects/*': {},
  'src/backends/*': {},
  'src/backends/http.ts': { effects: ['network'] },
  'src/backends/tunnel.ts': { effects: ['network'] },
  'src/plan/*': {},
  'src/plan/claude.ts': { effects: ['spawns'] },
  'src/exchange/*': {},
  'src/server/*': {},
  'src/server/listener.ts': { effects: ['listens'] },
  'src/observe/*': {},
  'src/cli/*': {},
  'src/shim/*': {},
}

export interface LayerRule {
  /** Files of this layer: patterns as in FILES. The first layer that matches a file is its layer. */
  files: readonly string[]
  /** Patterns that it may import, besides its own folder when `own` is set. */
  may: readonly string[]
  own?: boolean
  /** Node modules that it may use at run time (types are erased); `*` for any. */
  node: readonly string[]
  /** Dynamic `import()`: `own` for literal paths inside the package, `any` for the shim. */
  dynamic?: 'own' | 'any'
}

const HUB = ['src/errors.ts', 'src/hub/*'] as const

/** Who may import whom. Order matters: the first match is the layer. It is also the order of the audit map. */
export const LAYERS: Readonly<Record<string, LayerRule>> = {
  errors: { files: ['src/errors.ts'], may: [], node: [] },
  hub: { files: ['src/hub/*'], may: ['src/errors.ts'], own: true, node: [] },
  sse: { files: ['src/sse.ts'], may: HUB, node: [] },
  config: { files: ['src/config.ts', 'src/config/*'], may: [...HUB, 'src/config/*'], own: true, node: ['fs', 'fs/promises', 'os', 'path', 'crypto'] },
  server: {
    files: ['src/server/*'],
    may: [...HUB, 'src/config.ts', 'src/dialects/dialect.ts', 'src/exchange/*', 'src/observe/*'],
    own: true,
    node: ['http', 'crypto', 'zlib', 'stream', 'stream/promises', 'events', 'net', 'util', 'timers'],
  },
  peek: { files: ['src/exchange/peek.ts', 'src/exchange/router.ts'], may: [...HUB, 'src/config.ts'], node: [] },
  exchange: {
    files: ['src/exchange/*'],
    may: [...HUB, 'src/sse.ts', 'src/config.ts', 'src/dialects/*', 'src/backends/backend.ts', 'src/backends/pool.ts'],
    own: true,
    node: ['http', 'crypto', 'stream', 'zlib', 'events', 'util', 'timers', 'string_decoder'],
  },
  backends: {
    files: ['src/backends/*'],
    may: [...HUB, 'src/config.ts'],
    own: true,
    node: ['http', 'https', 'net', 'tls', 'crypto', 'stream', 'events', 'url', 'fs', 'util'],
  },
  plan: {
    files: ['src/plan/*'],
    may: [...HUB, 'src/sse.ts', 'src/config.ts', 'src/backends/backend.ts'],
    own: true,
    node: ['child_process', 'crypto', 'events', 'fs', 'fs/promises', 'http', 'os', 'path', 'stream', 'readline', 'string_decoder', 'util', 'url'],
  },
  dialect: { files: ['src/dialects/dialect.ts'], may: [...HUB, 'src/sse.ts'], node: [] },
  anthropic: { files: ['src/dialects/anthropic/*'], may: [...HUB, 'src/sse.ts', 'src/dialects/dialect.ts'], own: true, node: [] },
  chat: { files: ['src/dialects/chat/*'], may: [...HUB, 'src/sse.ts', 'src/dialects/dialect.ts'], own: true, node: [] },
  responses: { files: ['src/dialects/responses/*'], may: [...HUB, 'src/sse.ts', 'src/dialects/dialect.ts'], own: true, node: [] },
  'shared by dialects': { files: ['src/dialects/*'], may: [...HUB, 'src/sse.ts', 'src/dialects/*'], node: [] },
  observe: {
    files: ['src/observe/*'],
    may: [...HUB, 'src/config.ts'],
    own: true,
    node: ['fs', 'fs/promises', 'path', 'crypto', 'http', 'https', 'util', 'os', 'url'],
  },
  proxy: { files: ['src/proxy.ts', 'src/index.ts'], may: ['src/*'], node: ['*'] },
  cli: {
    files: ['src/cli/*', 'bin/*'],
    may: [...HUB, 'src/proxy.ts', 'src/index.ts', 'src/config.ts', 'src/config/*', 'src/observe/*', 'dist/*'],
    own: true,
    node: ['*'],
    dynamic: 'own',
  },
  shim: { files: ['src/shim/*'], may: [], own: true, node: ['*'], dynamic: 'any' },
}

/** What stands at the top of the repository; names that begin with a dot are free. */
export const TOP_LEVEL = [
  'src', 'bin', 'test', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'SECURITY.md', 'LICENSE',
] as const

/** Made by tools and ignored by git. */
export const IGNORED = ['node_modules', 'dist', 'coverage'] as const

/** Everything that a contributor installs, and nothing else. */
export const DEV_DEPENDENCIES = ['@types/node', 'c8', 'tsx', 'typescript'] as const
