/**
 * Loaded into every measured process before its own code: answers, over the IPC channel, how much processor time and
 * memory it has used. The same for all, so it weighs the same.
 * @module
 */
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpu: user + system, rss: process.memoryUsage.rss() })
})
// The channel must not keep a process alive that has nothing else to do.
process.channel?.unref()
