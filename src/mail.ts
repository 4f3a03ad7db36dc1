import type { FastifyBaseLogger } from 'fastify'
import postgres from 'postgres'
import type { Config } from './config.ts'
import { createPool } from './database/pool.ts'
import { type Message, transport, within } from './mail-transport.ts'

interface Mail {
  id: string
  kind: string
  to_address: string
  data: Record<string, string>
  attempts: number
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
  const applicationName = 'callboard mail'
  const deadline = config.DATABASE_DEADLINE * 1000
  const pool = createPool({
    url: workerUrl,
    size: 1,
    deadline,
    prepare: false,
    applicationName,
    autocommit: true,
  })
  // For LISTEN only, which postgres.js repeats whenever it has lost its connection.
  const ears = postgres(workerUrl, {
    max: 1,
    onnotice: () => {},
    connection: { application_name: applicationName },
  })
  const { send, close } = transport(config)
  let running: Promise<void> | undefined
  let again = false
  let stopped = false

  async function one(): Promise<boolean> {
    const [mail] = await pool.use(
      sql => sql<Mail[]>`select id, kind, to_address, data, attempts from app.take_mail()`,
    )
    if (!mail) return false
    const error = await Promise.resolve()
      .then(() => {
        const message = messages[mail.kind]?.(mail.data, publicUrl())
        if (!message) throw new Error(`there is no mail of the kind ${mail.kind}`)
        return send({ ...message, to: mail.to_address, id: mail.id })
      })
      .then(() => null)
      .catch((reason: unknown) => (reason instanceof Error ? reason.message : String(reason)))
    const [settled] = await pool.use(
      sql => sql<[{ failed_at: Date | null }]>`select app.settle_mail(${mail.id}, ${error}) as failed_at`,
    )
    const about = { mail_id: mail.id, kind: mail.kind, attempts: mail.attempts, error }
    if (settled.failed_at) log.error(about, 'mail given up')
    else if (error !== null) log.warn(about, 'mail not sent, will be tried again')
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
  ears.listen('callboard_mails', wake, wake).catch((error: unknown) => {
    log.warn({ err: error }, 'mail is sent every 15 seconds only: the database cannot be listened to')
  })
  return {
    stop: async () => {
      stopped = true
      clearInterval(timer)
      close()
      // A mail that is cut off here is sent later, by whoever takes it next.
      await within(5000, running ?? Promise.resolve()).catch(() => {})
      await Promise.all([pool.close(), ears.end({ timeout: 1 })])
    },
  }
}
