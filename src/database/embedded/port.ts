import { type AddressInfo, createServer } from 'node:net'
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
