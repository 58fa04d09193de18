import type { CustomDomain, StoredRoute, Zone } from './zone-store.ts'

// What the API shows of zones and of what Workers have in them.

export type Shown = Readonly<Record<string, unknown>>

export function shownZone({ id, name, account, createdAt }: Zone, accountName: string): Shown {
  return {
    id,
    name,
    status: 'active',
    paused: false,
    type: 'full',
    development_mode: 0,
    account: { id: account, name: accountName },
    name_servers: [],
    original_name_servers: null,
    created_on: createdAt,
    modified_on: createdAt,
    activated_on: createdAt,
  }
}

export function shownRoute({ id, pattern, worker }: StoredRoute): Shown {
  return { id, pattern, ...(worker !== null && { script: worker }) }
}

export function shownDomain(domain: CustomDomain, zones: readonly Zone[]): Shown {
  return {
    id: domain.id,
    hostname: domain.hostname,
    service: domain.worker,
    environment: 'production',
    zone_id: domain.zone,
    zone_name: zones.find(({ id }) => id === domain.zone)?.name ?? '',
    enabled: domain.isEnabled,
    previews_enabled: domain.hasPreviews,
  }
}
