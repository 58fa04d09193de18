import type { BlockList } from 'node:net'
import { OperatorError } from '#contract/errors.ts'
import { type Address, blocksOf, isPublic, isWithin, parseBlock } from './addresses.ts'

/** Where Workers may connect to. */
export type Rules = {
  /** Whether one address and port may be connected to. */
  permits(address: Address, port: number): boolean
}

// Ports of mail: what sends from here would send spam in the operator's name.
const closedPorts: ReadonlySet<number> = new Set([25, 465, 587])

/**
 * Public addresses are open, except for the ports of mail; everything else is closed, except for what
 * the operator lists: addresses and CIDR blocks, each with a port or for all that are not closed.
 * An entry that names a port opens it, whichever it is. Throws an `OperatorError` for an entry that
 * is none.
 */
export function createRules(allow: readonly string[]): Rules {
  const byPort = new Map<number | undefined, BlockList>()
  for (const [port, entries] of Map.groupBy(allow.map(parseEntry), (entry) => entry.port)) {
    byPort.set(port, blocksOf(entries.map(({ block }) => block)))
  }
  const isListed = (address: Address, port: number | undefined): boolean => {
    const blocks = byPort.get(port)
    return blocks !== undefined && isWithin(address, blocks)
  }
  return {
    permits(address, port) {
      if (port < 1 || port > 65_535) return false
      if (isListed(address, port)) return true
      if (closedPorts.has(port)) return false
      return isPublic(address) || isListed(address, undefined)
    },
  }
}

function parseEntry(text: string) {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$|^([^:]+)(?::(\d{1,5}))?$|^(.*)$/.exec(text.trim())
  const block = parseBlock(match?.[1] ?? match?.[3] ?? match?.[5] ?? '')
  const port = match?.[2] ?? match?.[4]
  if (!block || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))) {
    throw new OperatorError(
      `--egress-allow takes addresses and CIDR blocks, such as 10.0.0.0/8 or [fd00::1]:5432, but "${text}" is neither.`,
    )
  }
  return { block, port: port === undefined ? undefined : Number(port) }
}
