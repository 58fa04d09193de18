import { BlockList, isIP } from 'node:net'

/** An address in its one spelling: dotted IPv4, or compressed IPv6 without brackets. */
export type Address = { readonly text: string; readonly family: 'ipv4' | 'ipv6' }

/**
 * Reads an address as a resolver or the URL standard writes it. An IPv4 address in IPv6 clothes
 * (`::ffff:0:0/96`) is that IPv4 address. `undefined` if it is none.
 */
export function parseAddress(text: string): Address | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '')
  const kind = isIP(bare)
  if (kind === 4) return { text: bare, family: 'ipv4' }
  if (kind !== 6) return undefined
  const short = new URL(`http://[${bare}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short)
  if (!mapped) return { text: short, family: 'ipv6' }
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
  const parts = [high >> 8, high & 255, low >> 8, low & 255]
  return { text: parts.join('.'), family: 'ipv4' }
}

/** A block of addresses. */
export type Block = { readonly address: Address; readonly bits: number }

/** Reads `ADDRESS` or `ADDRESS/BITS`. `undefined` if it is neither. */
export function parseBlock(text: string): Block | undefined {
  const [base = '', bits, ...more] = text.split('/')
  const address = parseAddress(base)
  if (!address || more.length > 0) return undefined
  const all = address.family === 'ipv4' ? 32 : 128
  if (bits === undefined) return { address, bits: all }
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > all) return undefined
  return { address, bits: Number(bits) }
}

/** Whether an address is one of the blocks. */
export function isWithin(address: Address, blocks: BlockList): boolean {
  return blocks.check(address.text, address.family)
}

export function blocksOf(blocks: readonly Block[]): BlockList {
  const list = new BlockList()
  for (const { address, bits } of blocks) list.addSubnet(address.text, bits, address.family)
  return list
}

// What leads somewhere else than to the public Internet: the special-purpose registries of IANA
// (iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry; RFC 6890), multicast
// (RFC 5771), and addresses that hide an IPv4 address which may be private (RFC 3056, 4380, 6052, 8215).
const notPublic = blocksOf(
  `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
  192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
  224.0.0.0/4 240.0.0.0/4
  2001::/23 2001:db8::/32 2002::/16 3fff::/20`
    .split(/\s+/)
    .flatMap((text) => parseBlock(text) ?? []),
)

// All that is given out of IPv6 so far (iana.org/assignments/ipv6-address-space): outside of it are
// loopback, unique local, link-local, multicast and NAT64.
const globalUnicast = blocksOf([parseBlock('2000::/3')].flatMap((block) => block ?? []))

/** Whether an address belongs to the public Internet. */
export function isPublic(address: Address): boolean {
  if (isWithin(address, notPublic)) return false
  return address.family === 'ipv4' || isWithin(address, globalUnicast)
}
