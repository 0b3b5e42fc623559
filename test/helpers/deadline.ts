/**
 * A deadline on every wait, so that a regression fails with a sentence instead of hanging.
 * @module
 */
export async function withDeadline<Value>(promise: Promise<Value>, ms: number, label: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${label}: nothing within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
