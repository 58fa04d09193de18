import type { AccountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { SqlError } from '#contract/ports/sql.ts'
import { patternOutsideZone } from '#deploy/errors.ts'
import { isInZone, parseHostname } from '#deploy/route-pattern.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { Publication } from './publication.ts'
import { Turns } from './turns.ts'
import type { Zone, ZoneStore } from './zone-store.ts'

export type ZonesOptions = Pick<Ports, 'clock' | 'random'> & {
  readonly zones: ZoneStore
  readonly publication: Publication
  /** Workers answer at `<worker>.<domain>`: a host below it is nobody's to route. */
  readonly domain: string
}

/** How a client says which zone it means: with one of these, or with neither. */
export type ZoneName = {
  readonly zone_id?: string | undefined
  readonly zone_name?: string | undefined
}

/** Which hosts belong to which account. */
export class Zones {
  readonly #options: ZonesOptions
  readonly #turns = new Turns()

  constructor(options: ZonesOptions) {
    this.#options = options
  }

  /** Runs a change of zones, routes or custom domains by itself, and has visitors see it. */
  async change<Value>(task: () => Promise<Value>): Promise<Value> {
    const value = await this.#turns.take('zones', task).catch((error: unknown) => {
      // All that is stored was looked at before: the Worker has been deleted meanwhile.
      if (error instanceof SqlError && error.constraint) throw errors.workerNotFound()
      throw error
    })
    await this.#options.publication.publish()
    return value
  }

  /** Gives a host, and what is below it, to an account. */
  add(account: AccountId, text: string): Promise<Zone> {
    return this.change(async () => {
      const { zones, domain, random, clock } = this.#options
      const name = parseHostname(text)
      if (name === undefined) throw errors.zoneNameInvalid(text)
      if (isInZone(name, domain)) throw errors.zoneReserved(name, domain)
      const all = await zones.allZones()
      if (all.some((zone) => zone.name === name)) throw errors.zoneTaken(name)
      if (all.length >= limits.zones) throw errors.tooManyZones(limits.zones)
      const createdAt = new Date(clock.now()).toISOString()
      const zone = { id: random.hex(16), name, account, createdAt }
      await zones.addZone(zone)
      return zone
    })
  }

  /** Takes a zone from its account, with all that Workers have in it. */
  remove(zone: Zone): Promise<void> {
    return this.change(() => this.#options.zones.removeZone(zone))
  }

  /**
   * The zone of an account that a host is in, or that is named. `what` is what the client asked for.
   * Throws if it is another's, or if there is none.
   */
  async find(
    account: AccountId,
    host: string,
    { what, zone_id: id, zone_name: name }: ZoneName & { readonly what: string },
  ): Promise<Zone> {
    const all = await this.#options.zones.allZones()
    const isMeant = ({ id: own, name: ownName }: Zone): boolean => {
      if (id !== undefined) return own === id
      return name !== undefined ? ownName === name.toLowerCase() : isInZone(host, ownName)
    }
    const zone = longest(all.filter(isMeant))
    if (zone?.account !== account) throw errors.zoneNotFoundFor(what)
    return zone
  }

  /** Throws unless a host is a zone's to route: another zone may be within it. */
  async check(zone: Zone, host: string, what: string): Promise<void> {
    const { zones, domain } = this.#options
    if (isInZone(host, domain)) throw errors.hostReserved(host, domain)
    const owner = longest((await zones.allZones()).filter(({ name }) => isInZone(host, name)))
    if (owner?.id !== zone.id) throw patternOutsideZone(what)
  }
}

function longest(zones: readonly Zone[]): Zone | undefined {
  return zones.toSorted((a, b) => b.name.length - a.name.length)[0]
}
