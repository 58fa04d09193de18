import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import type { Shim } from '#contract/wire.ts'

/** JavaScript of ours that runs inside workerd, made of TypeScript as Node itself reads it. */
const sources = {
  agent: load(new URL('./agent.worker.ts', import.meta.url)),
  hidden: load(new URL('./hidden.worker.ts', import.meta.url)),
  split: load(new URL('./split.worker.ts', import.meta.url)),
  sockets: load(new URL('./sockets.worker.ts', import.meta.url)),
  guestTails: load(new URL('./guest-tails.worker.ts', import.meta.url)),
} as const

const shims = new Map<string, string>()

/** The same, as a configuration takes it. */
export const configSources = {
  agentSource: sources.agent,
  hiddenSource: sources.hidden,
  splitSource: sources.split,
  socketsSource: sources.sockets,
  guestTailsSource: sources.guestTails,
  /** Those of bindings are read when they are first asked for. */
  shimSource({ source }: Shim): string {
    const known = shims.get(source) ?? load(new URL(source))
    shims.set(source, known)
    return known
  },
} as const

function load(url: URL): string {
  return stripTypeScriptTypes(readFileSync(url, 'utf8'), { mode: 'strip' })
}
