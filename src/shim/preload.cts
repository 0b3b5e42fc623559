/**
 * `NODE_OPTIONS=--require` loads this before a tool's own code: it installs the shim and never breaks the tool. CommonJS,
 * since only that is loaded by `--require` in every place where Node starts.
 * @module
 */
try {
  const { install } = require('./install.js') as { install(options: { hosts: string[] | undefined }): void }
  const hosts = process.env['DARIO_SHIM_HOSTS']?.split(',')
  install({ hosts })
  if (process.env['DARIO_SHIM_LOG'] === '1') process.stderr.write(`dario: shim in process ${process.pid} for ${hosts?.join(', ')}\n`)
} catch (error) {
  process.stderr.write(`dario: the shim is off in this process: ${(error as Error).message}\n`)
}
