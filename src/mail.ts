import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { createTransport } from 'nodemailer'
import postgres from 'postgres'
import type { Config } from './config.ts'

interface Mail {
  id: string
  kind: string
  to_address: string
  data: Record<string, string>
  attempts: number
}
interface Message {
  subject: string
  text: string
}

/** What each kind of mail says; the kinds are those that db/schema queues. */
const messages: Record<string, (data: Record<string, string>, url: string) => Message> = {
  verify_email: (d, url) => ({
    subject: 'Please confirm your address',
    text: `Hello ${d['display_name']},\n\nplease confirm that this is your address:\n\n${url}/#verify-email?token=${d['token']}\n\nThe link works once, for three days. If you have not signed up, ignore this mail.\n`,
  }),
  reset_password: (d, url) => ({
    subject: 'Choose a password',
    text: `Hello ${d['display_name']},\n\nhere you can choose a new password:\n\n${url}/#reset-password?token=${d['token']}\n\nThe link works once. If you did not ask for it, ignore this mail: nothing has changed.\n`,
  }),
  invitation: (d, url) => ({
    subject: `${d['invited_by']} invites you to ${d['organization']}`,
    text: `Hello,\n\n${d['invited_by']} invites you to join ${d['organization']} as ${d['role']}:\n\n${url}/#accept-invitation?token=${d['token']}\n\nThe link works once, for seven days.\n`,
  }),
  added: d => ({
    subject: `You have been added to ${d['organization']}`,
    text: `Hello,\n\nyou now belong to ${d['organization']} as ${d['role']}. You can leave it at any time in your account.\n`,
  }),
}

/** Sends mail through SMTP or, without a server, as files of RFC 5322 that every mail program opens. */
function transport(config: Config): (message: Message & { to: string; id: string }) => Promise<void> {
  const from = config.MAIL_FROM
  if (config.SMTP_URL !== undefined) {
    const smtp = createTransport({
      url: config.SMTP_URL,
      connectionTimeout: 10_000,
      greetingTimeout: 10_000,
      socketTimeout: 20_000,
    })
    return async ({ to, subject, text }) => {
      await smtp.sendMail({ from, to, subject, text })
    }
  }
  const folder = join(config.DATA_DIR, 'mail')
  const file = createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  return async ({ to, subject, text, id }) => {
    const { message } = await file.sendMail({ from, to, subject, text })
    await mkdir(folder, { recursive: true })
    const path = join(folder, `${id}.eml`)
    // Whoever watches the folder never sees half a mail.
    await writeFile(`${path}.tmp`, message as Buffer, { mode: 0o600 })
    await rename(`${path}.tmp`, path)
  }
}

export interface MailWorker {
  stop: () => Promise<void>
}

/** Empties the outbox (db/schema/mails.sql) as callboard_worker: at once when told, and every 15 seconds for retries. */
export function startMailWorker(
  config: Config,
  workerUrl: string,
  publicUrl: () => string,
  log: FastifyBaseLogger,
): MailWorker {
  const sql = postgres(workerUrl, {
    max: 1,
    onnotice: () => {},
    connection: { application_name: 'callboard mail', statement_timeout: 10_000 },
  })
  const send = transport(config)
  let running: Promise<void> | undefined
  let again = false
  let stopped = false

  async function one(): Promise<boolean> {
    const [mail] = await sql<Mail[]>`select id, kind, to_address, data, attempts from app.take_mail()`
    if (!mail) return false
    const error = await Promise.resolve()
      .then(() => {
        const message = messages[mail.kind]?.(mail.data, publicUrl())
        if (!message) throw new Error(`there is no mail of the kind ${mail.kind}`)
        return send({ ...message, to: mail.to_address, id: mail.id })
      })
      .then(() => null)
      .catch((reason: unknown) => (reason instanceof Error ? reason.message : String(reason)))
    const [settled] = await sql<
      [{ failed_at: Date | null }]
    >`select app.settle_mail(${mail.id}, ${error}) as failed_at`
    if (settled.failed_at)
      log.error({ mail_id: mail.id, kind: mail.kind, attempts: mail.attempts, error }, 'mail given up')
    else if (error !== null)
      log.warn(
        { mail_id: mail.id, kind: mail.kind, attempts: mail.attempts, error },
        'mail not sent, will be tried again',
      )
    return true
  }

  async function drain() {
    do {
      again = false
      try {
        while (!stopped && (await one()));
      } catch (error) {
        log.warn({ err: error }, 'the outbox cannot be read')
      }
    } while (again && !stopped)
    running = undefined
  }
  const wake = () => {
    if (stopped) return
    if (running) again = true
    else running = drain()
  }

  const timer = setInterval(wake, 15_000)
  sql.listen('callboard_mails', wake, wake).catch((error: unknown) => {
    log.warn({ err: error }, 'mail is sent every 15 seconds only: the database cannot be listened to')
  })
  return {
    stop: async () => {
      stopped = true
      clearInterval(timer)
      await running
      await sql.end({ timeout: 2 })
    },
  }
}
