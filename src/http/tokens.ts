import { createHash, randomBytes, randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { Problem } from './problem.ts'
import { uuid } from './schemas.ts'

/** The claims of an access token. Only `sid` and `org` are ever used, and the database checks both. */
export interface AccessToken {
  sub: string
  org: string | null
  role: string | null
  permissions: string[]
  /** Opens another door of the database, which looks for a grant: see db/schema/support/support.sql. */
  scope?: 'superadmin'
  /** The session's secret: to hold the token is to hold the session. */
  sid: string
  jti: string
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: AccessToken
    user: AccessToken & { iss: string; aud: string; iat: number; exp: number }
  }
}
declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses a request without a valid access token; for `onRequest`. */
    authenticate: (request: FastifyRequest) => Promise<void>
    /** The body that answers a sign-in, refresh or switch: a new access token for what the database granted. */
    issue: (
      grant: string | null,
      sessionSecret: string,
      more?: { refreshSecret?: string; scope?: 'superadmin' },
    ) => TokenAnswer
  }
  interface FastifyRequest {
    /** As `jwtVerify`, with JWT_SECRET_PREVIOUS. */
    previousJwtVerify: FastifyRequest['jwtVerify']
  }
  interface FastifyReply {
    /** Sends `body` and forbids caching it. */
    secret: (body: TokenAnswer) => FastifyReply
  }
}

export interface TokenAnswer {
  access_token: string
  token_type: 'Bearer'
  expires_in: number
  refresh_token?: string
  scope?: 'superadmin'
  user_id: string
  organization_id: string | null
  role: string | null
  permissions: string[]
}

/** A new secret of 32 random bytes, and the hash that is stored. */
export function newSecret(): { secret: string; hash: Buffer } {
  const secret = randomBytes(32).toString('base64url')
  return { secret, hash: createHash('sha256').update(secret).digest() }
}

/** What @fastify/jwt reports for it, and for claims that are wrong. */
const wrongSignature = 'FST_JWT_AUTHORIZATION_TOKEN_INVALID'

// The organization's id goes into SQL verbatim: see tenant.ts.
const aUuid = new RegExp(`^${uuid}$`)

/** The two halves of a refresh token: the session's secret and the single-use one. */
export function splitRefreshToken(token: string): [string, string] {
  const [session = '', refresh = ''] = token.split('.')
  return [session, refresh]
}

export const tokens = fp(
  async (app: FastifyInstance, { config, secret }: { config: Config; secret: string }) => {
    const options = {
      sign: {
        algorithm: 'HS256' as const,
        iss: config.JWT_ISSUER,
        aud: config.JWT_AUDIENCE,
        expiresIn: config.ACCESS_TOKEN_LIFETIME,
      },
      verify: {
        algorithms: ['HS256' as const],
        allowedIss: config.JWT_ISSUER,
        allowedAud: config.JWT_AUDIENCE,
        requiredClaims: ['exp', 'iat', 'iss', 'aud', 'sub', 'org', 'sid'],
        cache: true,
      },
    }
    await app.register(fastifyJwt, { ...options, secret })
    const { JWT_SECRET_PREVIOUS: previous } = config
    if (previous !== undefined)
      await app.register(fastifyJwt, { ...options, secret: previous, namespace: 'previous' })

    /** Most tokens are signed with the current key, so the other is tried only if that is not the one. */
    async function verify(request: FastifyRequest): Promise<void> {
      try {
        await request.jwtVerify()
      } catch (error) {
        if (previous === undefined || (error as { code?: string }).code !== wrongSignature) throw error
        await request.previousJwtVerify()
      }
    }

    app.decorate('authenticate', async (request: FastifyRequest) => {
      try {
        await verify(request)
      } catch (cause) {
        // Only /metrics learns which check failed.
        throw Object.assign(new Problem(401, 'unauthorized'), { cause })
      }
      const { sub, org, sid, scope } = request.user as Partial<AccessToken>
      // Issued while the clock was ahead, it would be valid for as long as that was.
      if (request.user.iat > Date.now() / 1000 + config.ACCESS_TOKEN_LIFETIME)
        throw new Problem(401, 'unauthorized')
      if (scope !== undefined && scope !== 'superadmin') throw new Problem(401, 'unauthorized')
      const isOrganization = org === null || (typeof org === 'string' && aUuid.test(org))
      if (typeof sub !== 'string' || typeof sid !== 'string' || !isOrganization)
        throw new Problem(401, 'unauthorized')
    })

    app.decorate('issue', (text, sessionSecret, { refreshSecret, scope } = {}) => {
      const { refresh_secret = refreshSecret, ...grant } = JSON.parse(String(text)) as Pick<
        TokenAnswer,
        'user_id' | 'organization_id' | 'role' | 'permissions'
      > & { refresh_secret?: string }
      const claims = {
        sub: grant.user_id,
        org: grant.organization_id,
        role: grant.role,
        permissions: grant.permissions,
        sid: sessionSecret,
        ...(scope && { scope }),
        jti: randomUUID(),
      }
      return {
        access_token: app.jwt.sign(claims),
        token_type: 'Bearer' as const,
        expires_in: config.ACCESS_TOKEN_LIFETIME,
        ...(refresh_secret !== undefined && { refresh_token: `${sessionSecret}.${refresh_secret}` }),
        ...(scope && { scope }),
        ...grant,
      }
    })
    app.decorateReply('secret', function (this: FastifyReply, body: TokenAnswer) {
      return this.header('cache-control', 'no-store').send(body)
    })
  },
  { name: 'tokens' },
)
