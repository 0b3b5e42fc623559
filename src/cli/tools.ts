/**
 * Every tool that dario knows by name, in one table: what points it here for one run, what does so for good, and what
 * it cannot do. Facts are from the page in `source`; those of the tools on npm were tried with the real programs.
 * @module
 */
import type { Tool } from './tool.ts'

const CLAUDE_ENV = {
  ANTHROPIC_BASE_URL: '{root}', ANTHROPIC_AUTH_TOKEN: '{key}', ANTHROPIC_API_KEY: '',
  ANTHROPIC_MODEL: '{model}', ANTHROPIC_DEFAULT_OPUS_MODEL: '{model}', ANTHROPIC_DEFAULT_SONNET_MODEL: '{model}',
  ANTHROPIC_DEFAULT_HAIKU_MODEL: '{model}', ANTHROPIC_SMALL_FAST_MODEL: '{model}', CLAUDE_CODE_SUBAGENT_MODEL: '{model}',
}
/** A settings file's `env` beats the environment, so ours comes in a settings file too (pitfalls W1, W2, M7). */
const CLAUDE_RUN = { ...CLAUDE_ENV, CLAUDE_CODE_USE_BEDROCK: '', CLAUDE_CODE_USE_VERTEX: '', CLAUDE_CODE_USE_FOUNDRY: '' }
const OPENCODE = {
  provider: { dario: {
    npm: '@ai-sdk/anthropic', name: 'dario', options: { baseURL: '{v1}', apiKey: '{key}' }, models: { '{model}': { name: '{model}' } },
  } },
  model: 'dario/{model}', small_model: 'dario/{model}',
}
const CLINE = {
  version: 1, lastUsedProvider: 'openai-compatible',
  providers: { 'openai-compatible': {
    settings: { provider: 'openai-compatible', apiKey: '{key}', model: '{model}', baseUrl: '{v1}' },
    updatedAt: '2026-01-01T00:00:00.000Z', tokenSource: 'manual',
  } },
}
const CONTINUE = 'name: dario\nversion: 1.0.0\nschema: v1\n'
const CONTINUE_MODELS = 'models:\n  - name: dario\n    provider: anthropic\n    model: "{model}"\n    apiBase: "{v1}/"\n    apiKey: "{key}"\n'
  + '    roles: [chat, edit, apply, summarize]\n    capabilities: [tool_use]\n'
const PI = {
  baseUrl: '{root}', api: 'anthropic-messages', apiKey: '{key}',
  models: [{
    id: '{model}', name: '{model}', reasoning: false, input: ['text', 'image'], contextWindow: 200000, maxTokens: 16384,
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  }],
}
const CRUSH_MODEL = { provider: 'dario', model: '{model}' }
const CRUSH = {
  providers: { dario: {
    type: 'openai-compat', base_url: '{v1}', api_key: '{key}',
    models: [{ id: '{model}', name: '{model}', context_window: 200000, default_max_tokens: 16384 }],
  } },
  models: { large: CRUSH_MODEL, small: CRUSH_MODEL },
}
const APP_DATA: Partial<Record<NodeJS.Platform, string>> = { darwin: 'Library/Application Support', win32: 'AppData/Roaming' }
const OPENAI_COMPATIBLE = 'API provider "OpenAI Compatible"'
const VENDOR_VARIABLES = 'the variables of dario env are enough: dario run -- COMMAND, or eval "$(dario env)"'

export const TOOLS: Readonly<Record<string, Tool>> = {
  claude: {
    title: 'Claude Code', program: 'claude', speaks: 'anthropic', models: 'claude-*', native: true,
    env: CLAUDE_RUN, args: [['--settings', '{dir}/settings.json']], files: { 'settings.json': { env: CLAUDE_RUN } },
    settings: [{ file: ['CLAUDE_CONFIG_DIR', '~/.claude', 'settings.json'], json: { env: CLAUDE_ENV } }],
    limits: 'it ignores the whole settings.json when there are comments or a comma too many in it', source: 'https://code.claude.com/docs/en/llm-gateway',
  },
  'claude-agent-sdk': {
    title: 'Claude Agent SDK', speaks: 'anthropic', models: 'claude-*',
    steps: 'it starts Claude Code with your environment, so dario setup claude holds for it unless your code sets settingSources: []; '
      + 'else pass env: { ...process.env, ANTHROPIC_BASE_URL: "{root}", ANTHROPIC_AUTH_TOKEN: "{key}" }',
    source: 'https://code.claude.com/docs/en/agent-sdk/overview',
  },
  codex: {
    title: 'Codex', program: 'codex', speaks: 'responses', models: 'gpt-*', native: true, env: { DARIO_KEY: '{key}' },
    args: [
      ['-c', 'model_provider="dario"'],
      ['-c', 'model_providers.dario={name="dario",base_url="{v1}",env_key="DARIO_KEY",wire_api="responses"}'],
      ['--model|-m', '{model}'],
    ],
    settings: [{
      file: ['CODEX_HOME', '~/.codex', 'config.toml'], top: 'model_provider = "dario"\nmodel = "{model}"\n',
      bottom: '[model_providers.dario]\nname = "dario"\nbase_url = "{v1}"\nwire_api = "responses"\nexperimental_bearer_token = "{key}"\n',
    }],
    limits: 'cloud tasks run at OpenAI and do not come here', source: 'https://developers.openai.com/codex/config-reference',
  },
  opencode: {
    title: 'OpenCode', program: 'opencode', speaks: 'anthropic', native: true, env: { OPENCODE_CONFIG_CONTENT: OPENCODE },
    settings: [{ file: ['XDG_CONFIG_HOME', '~/.config', 'opencode/opencode.json', 'opencode/opencode.jsonc'], json: OPENCODE }],
    source: 'https://opencode.ai/docs/config/',
  },
  cline: {
    title: 'Cline (CLI)', program: 'cline', speaks: 'chat', native: true,
    args: [['--data-dir', '{dir}/cline']], files: { 'cline/settings/providers.json': CLINE },
    settings: [{ file: ['CLINE_DATA_DIR', '~/.cline/data', 'settings/providers.json'], json: CLINE }],
    limits: 'its history is in the folder of the run and goes with it; setup keeps it', source: 'https://docs.cline.bot/cline-cli/configuration',
  },
  'cline-vscode': {
    title: 'Cline (VS Code)', speaks: 'chat', steps: `Cline settings: ${OPENAI_COMPATIBLE}`,
    source: 'https://docs.cline.bot/provider-config/openai-compatible',
  },
  continue: {
    title: 'Continue (CLI and VS Code)', program: 'cn', speaks: 'anthropic',
    args: [['--config', '{dir}/config.yaml']], files: { 'config.yaml': CONTINUE + CONTINUE_MODELS },
    settings: [{ file: ['CONTINUE_GLOBAL_DIR', '~/.continue', 'config.yaml'], top: CONTINUE, bottom: CONTINUE_MODELS }],
    source: 'https://docs.continue.dev/reference',
  },
  roo: {
    title: 'Roo Code', speaks: 'chat', steps: `Roo settings: ${OPENAI_COMPATIBLE}`, limits: 'the model must call tools by itself, not in text',
    source: 'https://docs.roocode.com/providers/openai-compatible',
  },
  kilo: {
    title: 'Kilo Code', speaks: 'chat', steps: `Kilo settings > Providers, in older versions ${OPENAI_COMPATIBLE}`,
    limits: 'its kilo.json is not written from here: which of its folders counts could not be tried', source: 'https://kilo.ai/docs/providers/openai-compatible',
  },
  qwen: {
    title: 'Qwen Code', program: 'qwen', speaks: 'chat', env: { OPENAI_API_KEY: '{key}', OPENAI_BASE_URL: '{v1}', OPENAI_MODEL: '{model}' },
    args: [['--auth-type', 'openai'], ['--openai-base-url', '{v1}'], ['--model|-m', '{model}']],
    settings: [{ file: ['QWEN_HOME', '~/.qwen', 'settings.json'], json: {
      modelProviders: { openai: [{ id: '{model}', name: 'dario', baseUrl: '{v1}', envKey: 'DARIO_KEY' }] },
      env: { DARIO_KEY: '{key}' }, security: { auth: { selectedType: 'openai' } }, model: { name: '{model}' },
    } }],
    source: 'https://qwenlm.github.io/qwen-code-docs/en/users/configuration/model-providers/',
  },
  pi: {
    title: 'pi', program: 'pi', speaks: 'anthropic', args: [['--extension', '{dir}/dario.js'], ['--provider', 'dario'], ['--model', '{model}']],
    files: { 'dario.js': `export default (pi) => pi.registerProvider("dario", ${JSON.stringify(PI)})` },
    settings: [
      { file: ['PI_CODING_AGENT_DIR', '~/.pi/agent', 'models.json'], json: { providers: { dario: PI } } },
      { file: ['PI_CODING_AGENT_DIR', '~/.pi/agent', 'settings.json'], json: { defaultProvider: 'dario', defaultModel: '{model}' } },
    ],
    source: 'https://github.com/badlogic/pi-mono/blob/main/packages/coding-agent/docs/models.md',
  },
  crush: {
    title: 'Crush', program: 'crush', speaks: 'chat', native: true, env: { CRUSH_GLOBAL_CONFIG: '{dir}' }, files: { 'crush.json': CRUSH },
    settings: [{ file: ['XDG_CONFIG_HOME', '~/.config', 'crush/crush.json'], json: CRUSH }],
    limits: 'a crushrc wins over crush.json; a run does not read your global ones, but a project\'s own',
    source: 'https://github.com/charmbracelet/crush/blob/main/docs/config/README.md',
  },
  aider: {
    title: 'Aider', program: 'aider', speaks: 'chat', env: { OPENAI_API_KEY: '{key}' },
    args: [['--openai-api-base', '{v1}'], ['--model', 'openai/{model}'], ['--weak-model', 'openai/{model}']],
    settings: [{
      file: ['', '~', '.aider.conf.yml'],
      bottom: 'openai-api-base: "{v1}"\nopenai-api-key: "{key}"\nmodel: "openai/{model}"\nweak-model: "openai/{model}"\n',
    }],
    source: 'https://aider.chat/docs/llms/openai-compat.html',
  },
  goose: {
    title: 'Goose', program: 'goose', speaks: 'chat', native: true,
    env: {
      GOOSE_PROVIDER: 'openai', GOOSE_MODEL: '{model}', GOOSE_FAST_MODEL: '{model}',
      OPENAI_HOST: '{root}', OPENAI_BASE_PATH: 'v1/chat/completions', OPENAI_API_KEY: '{key}',
    },
    steps: 'goose configure > Custom Providers > OpenAI compatible (keys live in the keyring, where only goose can put them)',
    source: 'https://goose-docs.ai/docs/guides/environment-variables',
  },
  openhands: {
    title: 'OpenHands', program: 'openhands', speaks: 'chat', args: [['--override-with-envs']],
    env: { LLM_MODEL: 'openai/{model}', LLM_BASE_URL: '{v1}', LLM_API_KEY: '{key}' },
    steps: 'Settings > LLM > Advanced: custom model openai/{model}', limits: 'from its Docker image use host.docker.internal instead of localhost',
    source: 'https://docs.openhands.dev/openhands/usage/environment-variables',
  },
  openclaw: {
    title: 'OpenClaw', program: 'openclaw', speaks: 'anthropic',
    settings: [{ file: ['OPENCLAW_STATE_DIR', '~/.openclaw', 'openclaw.json'], json: {
      models: { mode: 'merge', providers: { dario: PI } },
      agents: { defaults: { model: { primary: 'dario/{model}' } } },
    } }],
    limits: 'if agents.defaults.models is set, the model must be listed there; openclaw gateway restart makes a running one read it', source: 'https://docs.openclaw.ai/concepts/model-providers',
  },
  hermes: {
    title: 'Hermes', program: 'hermes', speaks: 'chat', steps: 'hermes model > Custom endpoint, or in config.yaml under model: provider: custom, base_url, api_key, default',
    limits: 'it reads no address from the environment', source: 'https://hermes-agent.nousresearch.com/docs/integrations/providers',
  },
  cursor: {
    title: 'Cursor', speaks: 'chat', steps: 'Cursor Settings > Models > API Keys: Override OpenAI Base URL',
    limits: 'Cursor calls from its own servers, which cannot reach localhost: dario would need a public address and an access key; its Tab model never uses it, nor, in some versions, its agent',
    source: 'https://cursor.com/docs/settings/api-keys',
  },
  windsurf: {
    title: 'Windsurf', speaks: 'chat', steps: 'use an extension in it instead: dario setup cline-vscode or dario setup continue',
    limits: 'its own assistant takes keys for some Claude models, entered on the vendor\'s site, and no other address', source: 'https://docs.windsurf.com/plugins/cascade/models',
  },
  zed: {
    title: 'Zed', speaks: 'chat', steps: 'then Agent Settings > LLM Providers > dario: enter the key (or set DARIO_API_KEY)',
    settings: [{ file: ['XDG_CONFIG_HOME', '~/.config', 'zed/settings.json'], json: { language_models: { openai_compatible: { dario: {
      api_url: '{v1}', available_models: [{ name: '{model}', display_name: 'dario', max_tokens: 200000 }],
    } } } } }],
    limits: 'external agents in Zed have their own settings', source: 'https://zed.dev/docs/ai/llm-providers',
  },
  jetbrains: {
    title: 'JetBrains AI', speaks: 'chat', steps: 'Settings > Tools > AI Assistant > Providers & API keys (earlier: Models & API keys): an OpenAI-compatible entry per model',
    limits: 'with keys of your own some of its features stay off, and it has no way to send the Messages API', source: 'https://www.jetbrains.com/help/ai-assistant/use-custom-models.html',
  },
  'open-webui': {
    title: 'Open WebUI', program: 'open-webui', speaks: 'chat', env: { OPENAI_API_BASE_URL: '{v1}', OPENAI_API_KEY: '{key}' },
    steps: 'Admin Settings > Connections > OpenAI > Manage > Add New Connection', limits: 'after its first start its database wins over variables; in Docker use host.docker.internal',
    source: 'https://docs.openwebui.com/getting-started/quick-start/connect-a-provider/starting-with-openai-compatible',
  },
  librechat: {
    title: 'LibreChat', speaks: 'chat', steps: 'librechat.yaml, under endpoints.custom: name: dario, apiKey, baseURL, models.default',
    limits: 'in Docker use host.docker.internal instead of localhost', source: 'https://www.librechat.ai/docs/quick_start/custom_endpoints',
  },
  raycast: {
    title: 'Raycast', speaks: 'chat', steps: 'an entry with id, name, base_url and models (each with id, name, context) in ~/.config/raycast/ai/providers.yaml (Settings > AI > Custom Providers)',
    limits: 'the file\'s form is from its users\' tools; the vendor\'s page could not be read',
    source: 'https://manual.raycast.com/ai/custom-providers',
  },
  llm: {
    title: 'llm', program: 'llm', speaks: 'chat', settings: [{
      file: ['LLM_USER_PATH', `~/${APP_DATA[process.platform] ?? '.config'}/io.datasette.llm`, 'extra-openai-models.yaml'],
      bottom: '- model_id: dario\n  model_name: "{model}"\n  api_base: "{v1}"\n  supports_tools: true\n',
    }],
    steps: 'then: llm -m dario', limits: 'with an access key: llm keys set dario, and add api_key_name: dario to the entry',
    source: 'https://llm.datasette.io/en/stable/other-models.html#openai-compatible-models',
  },
  'openai-sdk': { title: 'openai (JS, Python)', speaks: 'responses', steps: VENDOR_VARIABLES, source: 'https://github.com/openai/openai-node#readme' },
  'anthropic-sdk': {
    title: '@anthropic-ai/sdk, anthropic (Python)', speaks: 'anthropic', steps: VENDOR_VARIABLES,
    source: 'https://platform.claude.com/docs/en/api/client-sdks',
  },
  langchain: {
    title: 'LangChain', speaks: 'chat', steps: `${VENDOR_VARIABLES}; in Python ChatAnthropic wants ANTHROPIC_API_URL too`,
    source: 'https://docs.langchain.com/oss/python/integrations/chat/openai',
  },
  'ai-sdk': {
    title: 'AI SDK', speaks: 'anthropic', steps: `${VENDOR_VARIABLES}, for @ai-sdk/openai and @ai-sdk/anthropic`,
    source: 'https://ai-sdk.dev/providers/ai-sdk-providers/anthropic',
  },
}

/** By its name here or the program's, with or without a path. */
export function findTool(word: string): Tool | undefined {
  const name = word.replace(/^.*[\\/]/, '').replace(/\.\w+$/, '')
  return (Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined) ?? Object.values(TOOLS).find(({ program }) => program === name)
}
