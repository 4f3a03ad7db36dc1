import type { Task } from 'graphile-worker'
import type { Config } from '../config.ts'
import { type Message, transport } from './mail-transport.ts'

interface Mail {
  kind: string
  to_address: string
  data: Record<string, string>
}
/** What each kind of mail says; the kinds are those that db/schema queues. */
const messages: Record<string, (data: Record<string, string>, url: string) => Message> = {
  verify_email: (d, url) => ({
    subject: 'Please confirm your email address',
    text: `Hello ${d['display_name']},\n\nPlease confirm that this is your email address:\n\n${url}/#verify-email?token=${d['token']}\n\nThe link works once, for three days. If you have not signed up, ignore this mail.\n`,
  }),
  reset_password: (d, url) => ({
    subject: 'Choose a password',
    text: `Hello ${d['display_name']},\n\nYou can choose a new password here:\n\n${url}/#reset-password?token=${d['token']}\n\nThe link works once. If you did not ask for it, ignore this mail: nothing has changed.\n`,
  }),
  invitation: (d, url) => ({
    subject: `${d['invited_by']} invites you to ${d['organization']}`,
    text: `Hello,\n\n${d['invited_by']} invites you to join ${d['organization']} as ${d['role']}:\n\n${url}/#accept-invitation?token=${d['token']}\n\nThe link works once, for seven days.\n`,
  }),
  added: d => ({
    subject: `You have been added to ${d['organization']}`,
    text: `Hello,\n\nYou are now a member of ${d['organization']} as ${d['role']}. You can leave it at any time in your account.\n`,
  }),
}

/** Why a mail could not be sent, for the database and the log: a mail server may quote what it refuses, with the link. */
function withoutSecret({ message }: Error, secret: string | undefined): Error {
  // Also pieces of it: a line of a mail is at most 76 characters long.
  return new Error(message.replaceAll(/[0-9a-f]{8,}/g, piece => (secret?.includes(piece) ? '…' : piece)))
}

/**
 * The task of a job that sends a mail from the outbox (db/schema/accounts/mails.sql). The job holds only its id, and
 * the secret of its link is made with each attempt and is nowhere but in the mail.
 */
export function mailTask(config: Config, publicUrl: () => string): { task: Task; close: () => void } {
  const { send, close } = transport(config)
  const task: Task = async (payload, helpers) => {
    const { job } = helpers
    const { mail: id } = payload as { mail: string }
    const { rows } = await helpers.query<Mail>('select kind, to_address, data from app.take_mail($1)', [id])
    const [mail] = rows
    // Already sent, by a worker that could not record it.
    if (!mail) return
    try {
      const message = messages[mail.kind]?.(mail.data, publicUrl())
      if (!message) throw new Error(`unknown kind of mail: ${mail.kind}`)
      await send({ ...message, to: mail.to_address, id })
    } catch (cause) {
      const error = withoutSecret(cause as Error, mail.data['token'])
      await helpers.query('select app.settle_mail($1, $2, $3)', [
        id,
        error.message,
        job.attempts >= job.max_attempts,
      ])
      throw error
    }
    await helpers.query('select app.settle_mail($1)', [id])
  }
  return { task, close }
}
