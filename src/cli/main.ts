/**
 * The command line: arguments to a command, its answer to an exit code (0 done, 1 failed, 2 wrong usage).
 * @module
 */
import { checkNode } from '../version.ts'

async function main(argv: readonly string[]): Promise<number> {
  const { createOutput, cleanText } = await import('./output.ts')
  const output = createOutput(process.stdout, process.stderr, process.env)
  const { parseArguments } = await import('./arguments.ts')
  const parsed = parseArguments(argv)
  if (parsed.kind === 'text') return output.line(parsed.text), 0
  if (parsed.kind === 'usage') {
    output.note(output.style('red', parsed.problem))
    output.note(parsed.hint)
    return 2
  }
  const { DarioError } = await import('../errors.ts')
  try {
    const command = await parsed.spec.load()
    return await command({ ...parsed, environment: process.env, output }) ?? 0
  } catch (error) {
    if (!(error instanceof DarioError)) throw error
    output.note(output.style('red', `dario: ${cleanText(error.message)}`))
    return error.code === 'invalid_request' || error.path?.startsWith('--') ? 2 : 1
  }
}

/** A reader that closed early (`dario doctor | head -1`) is no failure of ours. */
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(0)
  process.stderr.write(`dario: the output cannot be written (${code}); make room on the disk, or write it elsewhere\n`)
  process.exit(1)
})

// A log that nobody reads any more, or for which the disk has no room, must not end what serves; there is nobody to tell.
process.stderr.on('error', () => {})

const tooOld = checkNode(process.versions.node)
if (tooOld !== undefined) {
  process.stderr.write(`${tooOld}\n`)
  process.exit(1)
}
function leave(code: number): void {
  // After the last byte: what was printed into a pipe must arrive whole. What could not be, has the last word above.
  process.stdout.write('', (error) => (error ? undefined : process.exit(code)))
}

main(process.argv.slice(2)).then(leave, (error: Error) => {
  process.stderr.write(`dario: ${error.message}\nThis is a fault in dario; DARIO_DEBUG=1 prints where it happened.\n`)
  if (process.env['DARIO_DEBUG']) process.stderr.write(`${error.stack}\n`)
  leave(1)
})
