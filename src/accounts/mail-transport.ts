import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createTransport } from 'nodemailer'
import type { Config } from '../config.ts'

export interface Message {
  subject: string
  text: string
}
export interface Transport {
  send: (message: Message & { to: string; id: string }) => Promise<void>
  close: () => void
}

/** How long an SMTP server may take for one mail. */
const timeout = 60_000

/** Sends mail through SMTP or, without a server, as RFC 5322 files that every mail client opens. */
export function transport(config: Config): Transport {
  const compose = ({ to, id, subject, text }: Message & { to: string; id: string }) => ({
    from: config.MAIL_FROM,
    // Not as a string, which could be a list of addresses.
    to: { name: '', address: to },
    // The same for every attempt, so that duplicates are recognized.
    messageId: `<${id}@callboard>`,
    subject,
    text,
  })
  if (config.SMTP_URL !== undefined) {
    const smtp = createTransport({
      url: config.SMTP_URL,
      connectionTimeout: 10_000,
      greetingTimeout: 10_000,
      socketTimeout: 20_000,
    })
    return {
      // The timeouts above cover silence; a server that answers in drips would take forever. At the end of this one
      // the connection is closed, too.
      send: async message => {
        const signal = AbortSignal.timeout(timeout)
        await smtp.sendMail({ ...compose(message), signal }).catch((error: unknown) => {
          throw signal.aborted ? new Error(`it took longer than ${timeout / 1000} seconds`) : error
        })
      },
      close: () => {
        smtp.close()
      },
    }
  }
  const folder = join(config.DATA_DIR, 'mail')
  const file = createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  return {
    send: async message => {
      const made = await file.sendMail(compose(message))
      await mkdir(folder, { recursive: true })
      const path = join(folder, `${message.id}.eml`)
      // A program watching the folder never sees half a mail.
      await writeFile(`${path}.tmp`, made.message as Buffer, { mode: 0o600 })
      await rename(`${path}.tmp`, path)
    },
    close: () => {},
  }
}
