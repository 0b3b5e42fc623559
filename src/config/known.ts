/**
 * Backends that need no explanation: by name, with the address, the variable that holds the key, and what they speak.
 * Order is the order of discovery.
 * @module
 */
import type { DialectName } from '../hub/types.ts'

export interface KnownBackend {
  type: 'anthropic' | 'openai'
  baseUrl: string
  speaks: DialectName[]
  /** Variable that usually holds its key; undefined for a local server, which needs none. */
  variable?: string
  /** The vendor's own variable for another address, a company's gateway; it holds for the key in `variable`. */
  address?: string
}

export const KNOWN_BACKENDS: Readonly<Record<string, KnownBackend>> = {
  anthropic: {
    type: 'anthropic', baseUrl: 'https://api.anthropic.com', speaks: ['anthropic'], variable: 'ANTHROPIC_API_KEY', address: 'ANTHROPIC_BASE_URL',
  },
  openai: {
    type: 'openai', baseUrl: 'https://api.openai.com', speaks: ['responses', 'chat'], variable: 'OPENAI_API_KEY', address: 'OPENAI_BASE_URL',
  },
  openrouter: {
    type: 'openai', baseUrl: 'https://openrouter.ai/api', speaks: ['chat', 'responses', 'anthropic'], variable: 'OPENROUTER_API_KEY',
  },
  groq: { type: 'openai', baseUrl: 'https://api.groq.com/openai', speaks: ['chat'], variable: 'GROQ_API_KEY' },
  gemini: {
    type: 'openai', baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai', speaks: ['chat'], variable: 'GEMINI_API_KEY',
  },
  deepseek: { type: 'openai', baseUrl: 'https://api.deepseek.com', speaks: ['chat'], variable: 'DEEPSEEK_API_KEY' },
  mistral: { type: 'openai', baseUrl: 'https://api.mistral.ai', speaks: ['chat'], variable: 'MISTRAL_API_KEY' },
  xai: { type: 'openai', baseUrl: 'https://api.x.ai', speaks: ['chat', 'responses'], variable: 'XAI_API_KEY' },
  ollama: { type: 'openai', baseUrl: 'http://127.0.0.1:11434', speaks: ['chat'] },
  lmstudio: { type: 'openai', baseUrl: 'http://127.0.0.1:1234', speaks: ['chat'] },
}

/** What a server at this address speaks as far as its host name tells; others are taken to speak Chat Completions. */
export function hostSpeaks(baseUrl: string | undefined): DialectName[] {
  const host = baseUrl === undefined ? '' : new URL(baseUrl).host
  const known = Object.values(KNOWN_BACKENDS).find((backend) => new URL(backend.baseUrl).host === host)
  return known === undefined ? ['chat'] : [...known.speaks]
}
