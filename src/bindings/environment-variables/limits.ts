/**
 * Bytes of one variable, as text or as JSON text.
 * developers.cloudflare.com/workers/platform/limits: "Environment variables", 5 KB.
 */
export const variableBytes = 5 * 1024
