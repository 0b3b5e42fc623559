/**
 * The plan of the house, as `scripts/check.ts` enforces it: how long each file may be, which effects it has, who may
 * import whom, and the order in which to read it all. Growth, a new effect or a new arrow is a change of this file.
 * @module
 */
import type { Effect } from './check/source.ts'

/**
 * Lines of `src` and `bin` together, everything counted. The first estimate was 7,500. The catalogue of what clients
 * and vendors really send, some 230 entries of which each cost a rule and a test, came to twice that; every line over
 * the estimate is in `src/dialects`, `src/plan`, `src/backends` and `src/cli`, and is wanted back. The last 650 buy
 * speed (the HTTP client of `src/backends`, observers that are told in batches, what is loaded late), and what vendors
 * turned out to want: Gemini's proofs beside its calls, chains of answers at one key, call ids that are used once.
 */
export const CEILING = 20_280

/** Lines of a file without a number of its own. */
export const DEFAULT_LINES = 250

export interface FileRule {
  lines?: number
  effects?: readonly Effect[]
  /** For the audit map: what an effect is for, where it is not plain. */
  note?: string
}

/**
 * Files that differ from the default: 250 lines, no effects. `src/dialects/*` stands for every file below it; an
 * exact name wins over a pattern, a longer pattern over a shorter one.
 */
export const FILES: Readonly<Record<string, FileRule>> = {
  'bin/dario.js': { lines: 5 },
  'src/*.ts': {},
  'src/late.ts': { effects: ['reads files'], note: 'opens the null device: are descriptors left?' },
  'src/proxy.ts': { effects: ['reads environment'] },
  'src/hub/*': {},
  'src/config/*': {},
  'src/config/file.ts': { effects: ['reads files', 'writes files'] },
  'src/config/folder.ts': { effects: ['reads files', 'writes files'] },
  'src/config/values.ts': { effects: ['reads files'] },
  'src/version.ts': { effects: ['reads files'] },
  'src/server/*': {},
  'src/server/listener.ts': { effects: ['network', 'listens'], note: 'asks its own port who is there' },
  'src/server/memory.ts': { effects: ['network'], note: 'to the proxy in this process, over memory' },
  'src/exchange/*': {},
  'src/backends/*': {},
  'src/backends/tunnel.ts': { effects: ['network'] },
  'src/dialects/*': {},
  // The decoder of the richest grammar, with its state: split, each half would need the other's types.
  'src/observe/*': {},
  'src/observe/post.ts': { effects: ['network'], note: 'to the collector in OTEL_EXPORTER_OTLP_ENDPOINT, when that is set' },
  'src/observe/dashboard.ts': { effects: ['reads files'], note: 'its page' },
  // Markup, style and script in one file, since it is served as one and allowed by its hashes.
  'src/observe/dashboard.html': { lines: 425 },
  'src/observe/append.ts': { effects: ['reads files', 'writes files'], note: 'the ledger and the log file' },
  'src/observe/ledger.ts': { effects: ['reads files', 'writes files'], note: 'deletes days that are too old' },
  'src/observe/usage.ts': { effects: ['reads files', 'writes files'], note: 'reads the ledger, keeps sums beside it' },
  'src/observe/log.ts': { effects: ['reads files', 'writes files'], note: 'rotates the log file' },
  'src/observe/capture.ts': { effects: ['writes files'], note: 'only with --capture' },
  'src/plan/*': {},
  'src/plan/claude.ts': { effects: ['spawns'] },
  'src/plan/bridge.ts': { effects: ['listens'] },
  'src/plan/program.ts': { effects: ['reads files', 'writes files'] },
  'src/cli/*': {},
  'src/cli/watch.ts': { effects: ['network'], note: 'asks the running dario' },
  'src/cli/main.ts': { effects: ['reads environment'] },
  'src/cli/command.ts': { effects: ['network'], note: 'asks the port who is there' },
  'src/cli/config.ts': { effects: ['reads files'] },
  'src/cli/doctor.ts': { effects: ['listens', 'reads files'], note: 'tries whether the port is free' },
  'src/cli/run.ts': { effects: ['spawns', 'writes files'], note: 'starts the tool; its temporary settings' },
  'src/cli/setup.ts': { effects: ['reads files', 'writes files'], note: 'settings of tools, after a yes' },
  'src/cli/shim.ts': { effects: ['reads files'], note: 'the first bytes of the program' },
  'src/cli/tool.ts': { effects: ['reads files'], note: 'looks which programs are there' },
  'src/shim/*': {},
  'src/shim/install.ts': { effects: ['network', 'reads environment'], note: 'the very requests that it replaces' },
  'src/shim/preload.cts': { effects: ['reads environment'] },
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
const CONFIG = ['src/config/*'] as const
/** What a backend is and which key is next, without the code that reaches out. */
const POOL = ['backend', 'pool', 'gate', 'outcome', 'headers', 'body'].map((name) => `src/backends/${name}.ts`)
/** Dialects know what lies between their folders, never each other. */
const SHARED_BY_DIALECTS = [...HUB, 'src/sse.ts', 'src/dialects/*.ts'] as const

/** Who may import whom. Order matters: the first match is the layer. It is also the order of the audit map. */
export const LAYERS: Readonly<Record<string, LayerRule>> = {
  errors: { files: ['src/errors.ts'], may: [], node: [] },
  hub: { files: ['src/hub/*'], may: ['src/errors.ts'], own: true, node: ['crypto'] },
  sse: { files: ['src/sse.ts'], may: HUB, node: [] },
  config: { files: CONFIG, may: HUB, own: true, node: ['fs', 'fs/promises', 'os', 'path', 'crypto', 'timers/promises'] },
  version: { files: ['src/version.ts'], may: [], node: ['fs'] },
  server: {
    files: ['src/server/*'],
    may: [...HUB, 'src/config/types.ts', 'src/version.ts', 'src/dialects/dialect.ts', 'src/backends/backend.ts', 'src/exchange/*', 'src/observe/*'],
    own: true,
    node: ['http', 'crypto', 'zlib', 'stream', 'stream/promises', 'events', 'net', 'util', 'timers'],
  },
  peek: { files: ['src/exchange/peek.ts', 'src/exchange/router.ts'], may: [...HUB, 'src/config/types.ts'], node: [] },
  exchange: {
    files: ['src/exchange/*'],
    may: [...HUB, 'src/sse.ts', 'src/config/types.ts', 'src/dialects/*', ...POOL],
    own: true,
    node: ['http', 'crypto', 'stream', 'zlib', 'events', 'util', 'timers', 'string_decoder'],
  },
  backends: {
    files: ['src/backends/*'],
    may: [...HUB, 'src/sse.ts', 'src/config/types.ts'],
    own: true,
    node: ['http', 'https', 'net', 'tls', 'crypto', 'stream', 'events', 'os', 'url', 'util', 'zlib', 'timers/promises'],
  },
  plan: {
    files: ['src/plan/*'],
    may: [...HUB, 'src/sse.ts', 'src/config/types.ts', 'src/config/folder.ts', 'src/backends/backend.ts', 'src/backends/source.ts'],
    own: true,
    node: ['child_process', 'crypto', 'events', 'fs', 'fs/promises', 'http', 'os', 'path'],
  },
  'shared by dialects': { files: ['src/dialects/*.ts'], may: SHARED_BY_DIALECTS, node: [] },
  anthropic: { files: ['src/dialects/anthropic/*'], may: SHARED_BY_DIALECTS, own: true, node: [] },
  chat: { files: ['src/dialects/chat/*'], may: SHARED_BY_DIALECTS, own: true, node: [] },
  responses: { files: ['src/dialects/responses/*'], may: SHARED_BY_DIALECTS, own: true, node: [] },
  observe: {
    files: ['src/observe/*'],
    // What a backend is: capture stands in front of one, prices ask what kind it is.
    may: [...HUB, 'src/config/types.ts', 'src/config/folder.ts', 'src/backends/backend.ts', 'src/backends/pool.ts'],
    own: true,
    node: ['diagnostics_channel', 'querystring', 'stream', 'fs', 'fs/promises', 'path', 'crypto', 'http', 'net', 'tls', 'util', 'os', 'url'],
  },
  // The same for the command line: discovery with its effects.
  survey: { files: ['src/survey.ts'], may: [...HUB, ...CONFIG, 'src/version.ts', 'src/backends/*', 'src/plan/*'], node: [] },
  // Loads late what a plain relay has no use for, else dario would take a quarter longer to start.
  proxy: { files: ['src/proxy.ts', 'src/builder.ts', 'src/late.ts', 'src/index.ts'], may: ['src/*'], node: ['*'], dynamic: 'own' },
  cli: {
    files: ['src/cli/*', 'bin/*'],
    may: [...HUB, ...CONFIG, 'src/version.ts', 'src/sse.ts', 'src/survey.ts', 'src/proxy.ts', 'src/index.ts', 'src/observe/*', 'dist/*'],
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
