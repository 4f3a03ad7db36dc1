import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { replace, textOf } from './files.ts'
import { codeOf, EmbeddedError } from './run.ts'

/** The error for a port that is in use. */
export function portTaken(port: number): EmbeddedError {
  return new EmbeddedError(
    `port ${port} on 127.0.0.1 is used by another program; stop it, or set EMBEDDED_PORT to a free port`,
  )
}

/** The requested port if nothing listens on it, or any free one for 0. */
export function freePort(requested: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', error => {
      reject(codeOf(error) === 'EADDRINUSE' ? portTaken(requested) : error)
    })
    server.listen(requested, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => {
        resolve(port)
      })
    })
  })
}

const usual = 15432

/** The port of a folder for which none is set: the usual one or, if that is taken, a free one, which it then keeps. */
export async function ownPort(folder: string, notes: string[]): Promise<number> {
  const file = join(folder, 'port')
  const preferred = Number(textOf(file)) || usual
  try {
    return await freePort(preferred)
  } catch (error) {
    if (!(error instanceof EmbeddedError)) throw error
  }
  const port = await freePort(0)
  replace(file, `${port}\n`)
  notes.push(`Port ${preferred} is used by another program: PostgreSQL is on port ${port}, from now on`)
  return port
}
