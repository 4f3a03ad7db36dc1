import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'

const int32 = (n: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(n)
  return bytes
}
const message = (type: string, body: Buffer) =>
  Buffer.concat([Buffer.from(type), int32(body.length + 4), body])

/**
 * Signs in to PostgreSQL by SCRAM-SHA-256 (RFC 5802) up to the proof of the password: the server has read the verifier by
 * then. `finish` sends the proof, and returns the type of the last message: R if it was accepted, E if not.
 */
export async function beginToSignIn(t: Test, url: URL, user: string, password: string) {
  const socket = connect(Number(url.port), url.hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  const answer = async () => ((await once(socket, 'data')) as [Buffer])[0]
  const startup = Buffer.from(`user\0${user}\0database\0${url.pathname.slice(1)}\0\0`)
  socket.write(Buffer.concat([int32(startup.length + 8), int32(196_608), startup]))
  await answer()
  const first = 'n=,r=a nonce of the test'.replaceAll(' ', '')
  const initial = Buffer.from(`n,,${first}`)
  socket.write(message('p', Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), int32(initial.length), initial])))
  const challenge = (await answer()).subarray(9).toString()
  const [, nonce = '', salt = '', rounds = ''] = /^r=(.*),s=(.*),i=(\d+)$/.exec(challenge) ?? []
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256')
  const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  const clientKey = hmac(salted, 'Client Key')
  const last = `c=biws,r=${nonce}`
  const signature = hmac(createHash('sha256').update(clientKey).digest(), `${first},${challenge},${last}`)
  const proof = Buffer.from(clientKey.map((byte, n) => byte ^ (signature[n] ?? 0)))
  return {
    finish: async () => {
      socket.write(message('p', Buffer.from(`${last},p=${proof.toString('base64')}`)))
      return String.fromCharCode((await answer())[0] ?? 0)
    },
  }
}
