import { createHmac, randomUUID } from 'node:crypto'
import type { Answer, TestServer } from './helper.ts'

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
const hashes: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

/** An access token's claims; the signature is not checked. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
}

/** A token with any claims, signed without the server's code; an algorithm other than HMAC leaves it unsigned. */
export function signToken(claims: object, secret: string, alg = 'HS256'): string {
  const signed = `${encode({ alg, typ: 'JWT' })}.${encode(claims)}`
  const hash = hashes[alg]
  return `${signed}.${hash === undefined ? '' : createHmac(hash, secret).update(signed).digest('base64url')}`
}

/** A genuine token with some claims changed, signed with the server's own key. */
export function forge({ config }: TestServer, token: string, changed: object): string {
  return signToken({ ...claimsOf(token), jti: randomUUID(), ...changed }, config.JWT_SECRET ?? '')
}

/** Status and name of a refusal ("403 permission_denied"), or just the status of anything else. */
export function outcome({ status, body }: Answer<unknown>): string {
  const { type } = body as { type?: string }
  return status < 400 ? String(status) : `${status} ${type?.replace('/problems/', '') ?? ''}`
}
