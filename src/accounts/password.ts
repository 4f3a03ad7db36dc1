import { hashRaw } from '@node-rs/argon2'

const form = /^argon2id\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/=]+)$/

/**
 * The proof of a password: 32 raw bytes from argon2id, by the recipe that `app.password_recipe` returns.
 * The database stores and compares only its SHA-256: see db/schema/accounts/accounts.sql.
 */
export async function prove(password: string, recipe: string): Promise<Buffer> {
  const [, memory, passes, lanes, salt] = form.exec(recipe) ?? []
  if (salt === undefined) throw new Error('The password recipe from the database is not for argon2id')
  // Two keyboards may compose the same letter differently (RFC 8265).
  return hashRaw(password.normalize('NFC'), {
    memoryCost: Number(memory),
    timeCost: Number(passes),
    parallelism: Number(lanes),
    salt: Buffer.from(salt, 'base64'),
    outputLen: 32,
  })
}
