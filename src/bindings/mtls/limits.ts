// Cloudflare documents no limits of these: all are ours.

/** Certificates of one account. wrangler reads one page of the list and no more. */
export const certificatesPerAccount = 1_000

/** Characters of a name. */
export const nameLength = 255

/** Certificates of one upload: the chain of a client; a bundle of authorities (that of AWS has 121). */
export const certificatesPerChain = 20
export const certificatesPerBundle = 500

/** Characters of a text of PEM: of certificates, and of a key (of RSA with 16 384 bits, 13 000). */
export const certificatesLength = 512 * 1024
export const privateKeyLength = 32 * 1024

/** Characters of all certificates of one account: a list has them all. */
export const certificatesLengthPerAccount = 16 * 1024 * 1024

/** Bytes of the body of a request, and of one beyond that which are read and dropped. */
export const bodyBytes = 1024 * 1024
export const discardedBytes = 1024 * 1024

/** How long before it expires the log begins to warn of a certificate that is in use. */
export const warningMs = 30 * 86_400_000

/** How often that is looked at, and how many certificates at a time. */
export const lookMs = 86_400_000
export const lookRows = 500
