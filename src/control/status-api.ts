import type { CellHost } from '#contract/cell.ts'
import { succeed } from '#contract/envelope.ts'
import type { Route } from './call.ts'

/** `/bindery/status`: how the server is. Ours: Cloudflare has none. */
export function statusRoutes(host: Pick<CellHost, 'isolation'>): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/bindery/status',
      permission: 'read',
      run: async () => {
        const { mode, network, seccomp, cgroup, reason = null } = host.isolation
        return succeed({ isolation: { mode, network, seccomp, cgroup, reason } })
      },
    },
  ]
}
