/** How often it is asked which certificates are due; publications of routes are noticed by then. */
export const lookMs = 5_000

/** A certificate is renewed when this part of its life is left, as certbot and others do. */
export const renewalShare = 1 / 3

/**
 * How long a host waits after a failure, doubled with each. letsencrypt.org/docs/rate-limits: 5 failed
 * authorizations per host and hour; so the sixth is asked for only hours later.
 */
export const firstRetryMs = 2 * 60_000
export const longestRetryMs = 24 * 3_600_000

/** Orders in any hour, for all hosts. Same page: 300 new orders per account in 3 hours. */
export const ordersPerHour = 60

/** How long one order may take: a server that never decides keeps no other host waiting. */
export const orderMs = 5 * 60_000

/** How long the server is asked whether it has decided: from one second to ten. */
export const decisionPoll = { backoffMin: 1_000, backoffMax: 10_000, backoffAttempts: 25 }

/** Characters of a host in a certificate: RFC 1035 §2.3.4. */
export const hostLength = 253
