import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { rootCertificates } from 'node:tls'
import { axios, Client, crypto } from 'acme-client'
import { decisionPoll } from './limits.ts'

/** An authority that gives certificates by ACME (RFC 8555). */
export interface AcmeAuthority {
  /**
   * Gets a certificate for one host, which the authority checks by HTTP-01: it asks the host for what
   * is in `challenges` meanwhile. Resolves with the key and the chain in one text of PEM.
   */
  order(host: string): Promise<string>
}

/** What is answered below `/.well-known/acme-challenge/`: texts by their tokens. */
export type Challenges = Map<string, string>

/** Makes a key for an account, as PEM. */
export async function makeAccountKey(): Promise<string> {
  return (await crypto.createPrivateEcdsaKey()).toString()
}

/** `caFile` vouches for the authority's own server, beside those that Node knows. */
export function openAuthority(options: {
  readonly directory: string
  readonly email: string
  readonly caFile: string | undefined
  readonly accountKey: string
  readonly challenges: Challenges
}): AcmeAuthority {
  if (options.caFile !== undefined) {
    // The package has one client for all: this server speaks to one authority.
    const ca = [...rootCertificates, readFileSync(options.caFile, 'utf8')]
    axios.defaults.httpsAgent = new Agent({ ca })
  }
  const client = new Client({
    directoryUrl: options.directory,
    accountKey: options.accountKey,
    ...decisionPoll,
  })
  const account = {
    termsOfServiceAgreed: true,
    contact: [`mailto:${options.email}`],
  }
  let isKnown = false
  return {
    async order(host) {
      // With a key that it knows, the authority answers with the account that there is.
      if (!isKnown) await client.createAccount(account)
      isKnown = true
      const order = await client.createOrder({ identifiers: [{ type: 'dns', value: host }] })
      for (const authorization of await client.getAuthorizations(order)) {
        if (authorization.status === 'valid') continue
        await prove(client, authorization.challenges, options.challenges)
      }
      const key = await crypto.createPrivateEcdsaKey()
      const [, request] = await crypto.createCsr({ altNames: [host] }, key)
      const chain = await client.getCertificate(await client.finalizeOrder(order, request))
      return `${key.toString().trim()}\n${chain.trim()}\n`
    },
  }
}

type Challenge = Parameters<Client['completeChallenge']>[0]

async function prove(
  client: Client,
  offered: readonly Challenge[],
  challenges: Challenges,
): Promise<void> {
  const challenge = offered.find(({ type }) => type === 'http-01')
  if (!challenge) throw new Error('the authority does not check by HTTP-01')
  challenges.set(challenge.token, await client.getChallengeKeyAuthorization(challenge))
  try {
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(challenge)
  } finally {
    challenges.delete(challenge.token)
  }
}
