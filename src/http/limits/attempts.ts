import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest, onSendAsyncHookHandler } from 'fastify'
import type { Config } from '../../config.ts'
import { networkOf } from '../address.ts'
import { toProblem } from '../problem.ts'
import { type Charge, chargeTo } from './charges.ts'
import { type Counters, whole } from './counters.ts'

/** How the answer says that a secret was guessed, and wrongly. */
const failures = new Set(['invalid_credentials', 'wrong_password', 'invalid_token'])

const guessWindow = 60
const mailWindow = 900

/** Charges a request, or throws 429. */
export type Demand = (request: FastifyRequest, reply: FastifyReply, charges: Charge[]) => Promise<void>

/** The limits of guessing a secret, and of having mails sent, in addition to those of every request. */
export function attempts(app: FastifyInstance, config: Config, { refund }: Counters, demand: Demand) {
  const charged = new WeakMap<FastifyRequest, Charge[]>()

  // Charged before it is known whether the attempt fails: many at once must not all get in.
  app.decorate('signInLimit', async (request, reply) => {
    const [address, account] = [networkOf(request), accountOf(request)]
    const rule = (requests: number) => ({ requests, window: guessWindow, block: 0 })
    const charges = [
      chargeTo('sign_in', `${account}:${address}`, rule(config.SIGN_IN_LIMIT)),
      chargeTo('sign_in_address', address, rule(config.SIGN_IN_LIMIT_ADDRESS)),
      chargeTo('sign_in_account', account, rule(config.SIGN_IN_LIMIT_ACCOUNT)),
    ]
    await demand(request, reply, charges)
    charged.set(request, charges)
  })
  app.addHook('onError', async (request, _reply, error) => {
    if (failures.has(toProblem(error).problem)) charged.delete(request)
  })
  const forgive: onSendAsyncHookHandler = async (request, _reply, payload) => {
    for (const { key } of charged.get(request) ?? []) await refund(key, whole)
    return payload
  }
  app.addHook('onRoute', route => {
    if (![route.preHandler ?? []].flat().includes(app.signInLimit)) return
    route.onSend = [...[route.onSend ?? []].flat(), forgive]
  })

  app.decorate('mailLimit', async (request, reply) => {
    const sender = request.user as FastifyRequest['user'] | undefined
    const rule = (requests: number) => ({ requests, window: mailWindow, block: 0 })
    // Each kind of mail and each organization for itself, so that nobody keeps another's mail away.
    const whom = [request.routeOptions.url, sender?.org, recipientOf(request)].join(' ')
    const recipient = chargeTo('mail', hashed(whom), rule(config.MAIL_LIMIT))
    // What members send counts towards the limit of their organization.
    const from = chargeTo('mail_address', networkOf(request), rule(config.MAIL_LIMIT_ADDRESS))
    await demand(request, reply, sender ? [recipient] : [recipient, from])
  })
}

// Keeps email addresses and secrets out of Redis.
const hashed = (text: string) => createHash('sha256').update(text).digest('base64url')

interface Asked {
  body?: { email?: string; token?: string }
  params?: { id?: string }
}
const emailIn = ({ body }: Asked) => body?.email?.toLowerCase()
// Undefined until a token has been verified, despite its type.
const selfOf = (request: FastifyRequest) => (request.user as FastifyRequest['user'] | undefined)?.sub

/** The account whose secret is being guessed. */
function accountOf(request: FastifyRequest): string {
  const asked = request as Asked
  return hashed(String(emailIn(asked) ?? asked.body?.token ?? selfOf(request)))
}

/** Who gets the mail: an address, an invitation or the signed-in user. */
const recipientOf = (request: FastifyRequest) =>
  emailIn(request as Asked) ?? (request as Asked).params?.id ?? selfOf(request)
