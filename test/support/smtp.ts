import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Test } from 'tap'

/** Starts an SMTP server, which is closed after the test, and returns its URL. */
export async function listenForMail(t: Test, options: SMTPServerOptions): Promise<string> {
  const server = new SMTPServer({ authOptional: true, disabledCommands: ['STARTTLS'], ...options })
  // A client that is killed resets its connection, which without a listener would end the test.
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  t.teardown(
    () =>
      new Promise<void>(resolve => {
        server.close(resolve)
      }),
  )
  return `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`
}

/** An SMTP server that keeps what it accepts and, on demand, refuses mails and quotes them. */
export async function startSmtp(t: Test) {
  const received: string[] = []
  const refused: string[] = []
  const smtp = { url: '', received, refused, refuses: false }
  smtp.url = await listenForMail(t, {
    onData(stream, _session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const message = Buffer.concat(chunks).toString()
        if (smtp.refuses) {
          refused.push(message)
          done(
            new Error(
              `the mailbox is full, so this is refused: ${parse(message).text.replaceAll(/\s+/g, ' ')}`,
            ),
          )
          return
        }
        received.push(message)
        done()
      })
    },
  })
  return smtp
}

/** A mail's headers and its text, with quoted-printable undone. */
export function parse(message: string) {
  const [head = '', ...body] = message.split('\r\n\r\n')
  const headers = Object.fromEntries(
    head
      .replaceAll(/\r\n[ \t]+/g, ' ')
      .split('\r\n')
      .map(line => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
  )
  const text = body.join('\r\n\r\n')
  const plain =
    headers['content-transfer-encoding'] === 'quoted-printable'
      ? text
          .replaceAll('=\r\n', '')
          .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
      : text
  return { headers, text: plain }
}

/** The secret of the link in a mail. */
export function secretIn(text: string): string {
  const [secret] = /(?<=\?token=)[0-9a-f]{64}\b/.exec(text) ?? []
  if (secret === undefined) throw new Error(`there is no link in: ${text}`)
  return secret
}
