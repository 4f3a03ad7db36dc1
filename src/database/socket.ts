import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Where a server is, as postgres.js reads it from the URL. */
export interface Place {
  host: string[]
  port: number[]
  path: string | false
}

/** A socket to PostgreSQL, not yet connected. */
export function openSocket({ host: [host = ''], port: [port = 5432], path }: Place): Socket {
  return path === false ? connect({ host, port, noDelay: true }) : connect({ path })
}

/**
 * Waits until the socket is connected and, if `sslmode` asks for it, encrypted; returns the one to
 * use from then on. The modes are libpq's: with `prefer` the server decides, `require` accepts any
 * certificate, and the others verify it.
 */
export async function prepareSocket(
  socket: Socket,
  { host: [host = ''], path }: Place,
  sslmode: string,
): Promise<Socket> {
  await event(socket, 'connect')
  if (sslmode === 'disable' || path !== false) return socket
  // Length and code of an SSLRequest. An answer of more than one letter would be an attacker's text,
  // injected before encryption begins.
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  const answer = (await event(socket, 'data')).toString()
  if (answer === 'N' && (sslmode === 'prefer' || sslmode === 'allow')) return socket
  if (answer !== 'S') throw new Error('the server does not offer TLS')
  const secured = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: !['prefer', 'allow', 'require'].includes(sslmode),
  })
  await event(secured, 'secureConnect')
  return secured
}

function event(socket: Socket, name: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once(name, resolve).once('error', reject)
    socket.once('close', () => {
      reject(new Error('the server closed the connection'))
    })
  })
}
