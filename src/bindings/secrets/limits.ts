/**
 * Bytes of one secret.
 * developers.cloudflare.com/workers/platform/limits: "Environment variables", 5 KB.
 */
export const secretBytes = 5 * 1024
