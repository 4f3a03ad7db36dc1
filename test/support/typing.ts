// Types a document's commands into a shell, next to a server started as README.md says.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { type Example, shows } from './documents.ts'
import type { Database } from './helper.ts'
import { programArgs } from './program.ts'

/** Starts src/server.ts with its defaults in a folder, and waits until it listens. */
async function startServer(folder: string, db: Database): Promise<{ url: string; server: ChildProcess }> {
  const env = {
    PATH: process.env['PATH'],
    PORT: '0',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    // More than one page is typed within a minute, and the machine may be busy.
    DATABASE_DEADLINE: '60',
    RATE_LIMIT: '1000000',
    SIGN_IN_LIMIT: '1000000',
    SIGN_IN_LIMIT_ADDRESS: '1000000',
    SIGN_IN_LIMIT_ACCOUNT: '1000000',
    MAIL_LIMIT: '1000000',
    MAIL_LIMIT_ADDRESS: '1000000',
    JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
  }
  const args = programArgs('src/server.ts')
  const server = spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface(server.stdout)) {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? []
    if (url === undefined) continue
    server.stdout.resume()
    return { url, server }
  }
  throw new Error('the server did not start')
}

/** A persistent shell, so that each example has what the previous ones set. */
function startShell(folder: string) {
  const shell = spawn('sh', ['-eu'], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
  shell.stdout.setEncoding('utf8')
  const gaveUp = once(shell, 'exit').then(() => {
    throw new Error('the shell gave up')
  })
  const type = async (commands: string): Promise<string> => {
    let output = ''
    shell.stdin.write(`${commands}\nprintf '\\036'\n`)
    while (!output.endsWith('\u001e')) {
      const [chunk] = (await Promise.race([once(shell.stdout, 'data'), gaveUp])) as [string]
      output += chunk
    }
    return output.slice(0, -1)
  }
  // The test may be over by then.
  gaveUp.catch(() => {})
  return { shell, type }
}

/** A server on the database, and shells next to it, each as a function that types its argument. */
export async function startServerFor(t: Test, db: Database) {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-document-'))
  const { url, server } = await startServer(folder, db)
  t.teardown(async () => {
    server.kill()
    await once(server, 'exit')
    rmSync(folder, { recursive: true })
  })
  return {
    startShell: (t: Test) => {
      const { shell, type } = startShell(folder)
      t.teardown(() => shell.kill())
      return async (commands: string) => {
        // Mail is sent after the response.
        if (commands.includes('.data/mail'))
          await type('until ls .data/mail/*.eml >&2; do sleep 0.1; done 2>/dev/null')
        return type(commands.replaceAll('http://127.0.0.1:3000', url))
      }
    },
  }
}

function checkHttp(actual: string, shown: string): string | undefined {
  const split = (text: string) => {
    const [head = '', body = ''] = text.replaceAll('\r', '').split(/\n\n(.*)/s)
    const [status = '', ...headers] = head.trim().split('\n')
    return {
      status,
      headers: headers.map(header => header.replace(/^[\w-]+/, name => name.toLowerCase())),
      body,
    }
  }
  const [is, should] = [split(actual), split(shown)]
  if (is.status !== should.status) return is.status
  for (const header of should.headers) if (!is.headers.some(other => shows(other, header))) return header
  if (should.body.trim() === '') return is.body === '' ? undefined : is.body
  return shows(JSON.parse(is.body), JSON.parse(should.body)) ? undefined : is.body
}

/** What is wrong with the output of an example, or undefined. */
export function check(output: string, { answer }: Example): string | undefined {
  switch (answer?.language) {
    case 'json':
      return shows(JSON.parse(output), JSON.parse(answer.text)) ? undefined : output
    case 'http':
      return checkHttp(output, answer.text)
    case 'text':
      return output.trimEnd() === answer.text.trimEnd() ? undefined : output
    default:
      return output === '' ? undefined : output
  }
}
