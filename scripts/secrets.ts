/**
 * Runs the whole suite with marked keys and looks for them wherever they could leak to: all output, the arguments and
 * environments of every process that comes and goes (`/proc`, Linux only), temporary files, core dumps.
 * `npm run secrets`; arguments go to the suite: `npm run secrets -- cli`.
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MARK = 'MARKED0MARKED0MARKED'
/** The keys of this run, and the ones that tests make up for themselves. */
const KEYS = /MARKED0MARKED0MARKED|SECRETSECRET|sk-do-not-print-me|sk-very-secret|sk-found-on-this-machine|sk-test-upstream-key/
const VARIABLES = ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'OPENAI_API_KEY', 'OPENROUTER_API_KEY', 'GROQ_API_KEY', 'GEMINI_API_KEY', 'DEEPSEEK_API_KEY', 'MISTRAL_API_KEY', 'XAI_API_KEY']
/** The programs that dario starts, and dario as tests start it: each with an environment of its own. */
const NOT_INHERITED = /^[^\0]*(?:\0[^\0]*)?\/claude(?:\0|$)|read x \|\||src\/cli\/main\.ts/
/** Files that a test writes a key into, as a user does; everything else is dario's. */
const WRITTEN_BY_TESTS = /config\.json(?:\.tmp)?$|\/(?:key|secret)[\w.-]*$|\.(?:mjs|cjs|js)$|\/tsx-\d+\/|\.claude\/settings\.json$|\.codex\/config\.toml$/

const root = fileURLToPath(new URL('..', import.meta.url))
const temporary = mkdtempSync(join(tmpdir(), 'dario-secrets-'))
const findings = new Set<string>()
const seen = { processes: new Set<string>(), files: new Set<string>() }

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // gone meanwhile, or not ours
  }
}

function searchProcesses(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const environment = read(`/proc/${pid}/environ`)
    if (!environment.includes(temporary) && !KEYS.test(environment)) continue
    const command = read(`/proc/${pid}/cmdline`)
    seen.processes.add(pid)
    const shown = command.replaceAll('\0', ' ').slice(0, 300)
    // A script that a test hands to Node with -e is the test's own text, and --key is what a user typed.
    if (KEYS.test(command) && !/\0(?:-e|--key)\0/.test(command)) findings.add(`arguments: ${shown}`)
    if (environment.includes(MARK) && NOT_INHERITED.test(command)) findings.add(`environment: ${shown}`)
  }
}

function searchFiles(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    try {
      if (entry.isDirectory()) searchFiles(path)
      else if (entry.isFile() && statSync(path).size < 20_000_000) {
        seen.files.add(path)
        if (/^core(?:\.\d+)?$/.test(entry.name)) findings.add(`core dump: ${path}`)
        if (KEYS.test(read(path)) && !WRITTEN_BY_TESTS.test(path)) findings.add(`file: ${path}`)
      }
    } catch { /* deleted meanwhile */ }
  }
}

const marked = Object.fromEntries(VARIABLES.map((name) => [name, `sk-${name.toLowerCase()}-${MARK}`]))
const suite = spawn(process.execPath, ['--import', 'tsx', join(root, 'scripts/test.ts'), ...process.argv.slice(2)], {
  cwd: root, env: { ...process.env, ...marked, TMPDIR: temporary }, stdio: ['ignore', 'pipe', 'pipe'],
})
let rest = '', characters = 0
function searchOutput(chunk: Buffer): void {
  characters += chunk.length
  const lines = (rest + chunk.toString()).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) {
    if (KEYS.test(line)) findings.add(`output: ${line.slice(0, 300)}`)
    if (/^\s*not ok /.test(line)) console.log(line)
  }
}
suite.stdout.on('data', searchOutput)
suite.stderr.on('data', searchOutput)
const searches = [setInterval(() => process.platform === 'linux' && searchProcesses(), 50), setInterval(() => searchFiles(temporary), 250)]
const [code] = await once(suite, 'close') as [number | null]
searches.forEach(clearInterval)
for (const name of readdirSync(root)) if (/^core(?:\.\d+)?$/.test(name)) findings.add(`core dump: ${name}`)
rmSync(temporary, { recursive: true, force: true })
console.log(`the suite ended with ${code}; searched ${characters.toLocaleString('en')} characters of output, ${seen.processes.size} processes and ${seen.files.size} files: ${findings.size} findings`)
for (const finding of findings) console.log(finding)
process.exitCode = findings.size === 0 && code === 0 ? 0 : 1
