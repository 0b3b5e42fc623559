/**
 * Takes secrets out of text: those of the configuration by value, everything that looks like one by pattern.
 * @module
 */

const MASK = '[redacted]'

/** Keys by their vendors' beginnings, credentials behind `Bearer` or in an address, key members of JSON and queries. Each with a quick look for what it cannot be without. */
const PATTERNS: readonly (readonly [RegExp, string, RegExp?])[] = [
  [/\b(?:sk|pk|rk|gsk|xai|dario|ghp|github_pat|hf|or|pplx|csk)[-_][\w-]{16,}|\bAIza[\w-]{30,}|\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, MASK],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${MASK}`],
  [/\/\/[^/\s:@]+:[^/\s@]+@/g, `//${MASK}@`, /\/\//],
  [/("?(?:api[-_]?key|access[-_]?token|authorization|password|secret)"?\s*[:=]\s*"?)(?!\[)[^\s"&,}]{6,}/gi, `$1${MASK}`, /[:=]/],
]

/** Shorter ones would take common words out of every line. */
const SHORTEST = 6

export type Redact = (text: string) => string

/** @param secrets is asked at each call, since the configuration changes. */
export function createRedactor(secrets: () => Iterable<string>): Redact {
  return function redact(text) {
    let clean = text
    for (const secret of secrets()) if (secret.length >= SHORTEST) clean = clean.replaceAll(secret, MASK)
    for (const [pattern, mask, need] of PATTERNS) if (need === undefined || need.test(clean)) clean = clean.replace(pattern, mask)
    return clean
  }
}

const CREDENTIAL = /^(?:set-)?cookie$|api-key$|authorization$|-token$|-auth$|secret/

/** Headers as lines; credentials, also those of clients that no configuration knows, by their names. */
export function renderHeaders(headers: Readonly<Record<string, unknown>>): string {
  return Object.entries(headers).map(([name, value]) => `${name}: ${CREDENTIAL.test(name.toLowerCase()) ? MASK : String(value)}\n`).join('')
}
