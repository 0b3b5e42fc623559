/**
 * Which HTTP proxy an upstream is reached through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, read as curl does.
 * https://everything.curl.dev/usingcurl/proxies/env.html
 * @module
 */
import { BlockList, isIP } from 'node:net'
import { DarioError } from '../errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Around an IPv6 address in a URL; sockets want it bare. */
const BRACKETS = /^\[|\]$/g

export function toAddress({ hostname, port, protocol }: URL): { host: string; port: number } {
  return { host: hostname.replace(BRACKETS, ''), port: Number(port || (protocol === 'https:' ? 443 : 80)) }
}

/** Lower case wins, as in curl; an empty string is unset (pitfall X6). */
function readVariable(environment: Environment, name: string): string | undefined {
  return environment[name.toLowerCase()]?.trim() || environment[name]?.trim() || undefined
}

/** `localhost` and its subdomains, 127.0.0.0/8, ::1: never through a proxy, which would look for them on itself. */
function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** `10.0.0.0/8`. What is no range holds nothing. */
function isInRange(range: string, host: string): boolean {
  const [address = '', prefix] = range.split('/')
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  const list = new BlockList()
  try {
    list.addSubnet(address, Number(prefix || NaN), family)
  } catch {
    return false
  }
  return isIP(host) === isIP(address) && list.check(host, family)
}

function matchesNoProxy(entry: string, host: string, port: number): boolean {
  const [, name = entry, own = port] = isIP(entry) === 6 ? [] : /^(.*?):(\d+)$/.exec(entry) ?? []
  if (Number(own) !== port) return false
  const bare = name.replace(/^\[(.*)\]/, '$1') // `[fd00::1]`, `[fd00::]/8`
  if (bare.includes('/')) return isInRange(bare, host)
  if (isIP(bare) === 6) return isInRange(`${bare}/128`, host) // it can be written in many ways
  const domain = bare.replace(/^\*?\.|\.$/g, '').toLowerCase()
  return domain === '*' || (domain !== '' && (host === domain || host.endsWith(`.${domain}`)))
}

/**
 * The proxy for this target, or undefined for a direct connection. NO_PROXY takes `*`, `host`, `.suffix`, `host:port`
 * and CIDR ranges, IPv6 with or without brackets, separated by commas or spaces.
 * @throws DarioError `config_invalid` when the variable does not hold an http or https URL.
 */
export function selectProxy(target: URL, environment: Environment): URL | undefined {
  const { host, port } = toAddress(target)
  if (isLoopback(host)) return undefined
  const except = (readVariable(environment, 'NO_PROXY') ?? '').split(/[\s,]+/)
  if (except.some((entry) => matchesNoProxy(entry, host, port))) return undefined
  const name = target.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const value = readVariable(environment, name) ?? readVariable(environment, 'ALL_PROXY')
  if (value === undefined) return undefined
  const url = toUrl(value)
  if (url !== undefined) return url
  const rule = 'must be a URL such as http://proxy.example:3128; SOCKS is not supported'
  throw new DarioError('config_invalid', `${name} or ALL_PROXY ${rule}`)
}

/** `proxy.example:3128` is `http://proxy.example:3128`, as everywhere else. */
function toUrl(value: string): URL | undefined {
  const text = value.includes('://') ? value : `http://${value}`
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
}

/** A proxy's URL as logs and errors may show it: without user name and password (pitfall Z6). */
export function showProxy({ protocol, username, password, host }: URL): string {
  return `${protocol}//${username || password ? '***@' : ''}${host}`
}

/** The value of `proxy-authorization`, undefined when the URL has no credentials. */
export function toProxyAuthorization(proxy: URL): string | undefined {
  if (!proxy.username && !proxy.password) return undefined
  const plain = [proxy.username, proxy.password].map((part) => {
    try {
      return decodeURIComponent(part)
    } catch {
      return part // a password with a bare `%`
    }
  })
  return `Basic ${Buffer.from(plain.join(':')).toString('base64')}`
}
