// The examples of README.md, typed into a shell beside a server that was started as README.md says,
// on the demo: every answer must be the one that stands below the example.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { seedDemo } from '../../src/demo/demo.ts'
import { type Fence, fences, read, root, shows } from '../support/documents.ts'
import { type Database, startDatabase } from '../support/helper.ts'
import { programArgs } from '../support/program.ts'

/** Starts src/server.ts with its defaults in a folder, and waits until it listens. */
async function startServer(folder: string, db: Database): Promise<{ url: string; server: ChildProcess }> {
  const env = {
    PATH: process.env['PATH'],
    PORT: '0',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
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

/** A shell that stays, so that what one example sets the next one has. */
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
  gaveUp.catch(() => {})
  return { shell, type }
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
function check(output: string, answer: Fence | undefined): string | undefined {
  switch (answer?.language) {
    case 'json':
      return shows(JSON.parse(output), JSON.parse(answer.text)) ? undefined : output
    case 'http':
      return checkHttp(output, answer.text)
    default:
      return output === '' ? undefined : output
  }
}

const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'there is no curl on this machine'

t.test('every example of README.md has the answer that is shown', { skip }, async t => {
  const db = await startDatabase(t)
  await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
  const folder = mkdtempSync(join(tmpdir(), 'callboard-readme-'))
  const { url, server } = await startServer(folder, db)
  const { shell, type } = startShell(folder)
  t.teardown(async () => {
    shell.kill()
    server.kill()
    await once(server, 'exit')
    rmSync(folder, { recursive: true })
  })

  const [examples = ''] = read('README.md').split('\n## On your own PostgreSQL\n')
  const blocks = fences(examples)
  t.same(blocks.shift(), { language: 'sh', text: 'npm ci\nnpm start\n' })
  const answered = blocks.filter(({ language }) => language !== 'sh')
  t.ok(answered.length >= 12, `${answered.length} answers`)
  for (const [index, { language, text }] of blocks.entries()) {
    if (language !== 'sh') continue
    // Mail is sent after the answer.
    if (text.includes('.data/mail'))
      await type('until ls .data/mail/*.eml >&2; do sleep 0.1; done 2>/dev/null')
    const output = await type(text.replaceAll('http://127.0.0.1:3000', url))
    const next = blocks[index + 1]
    const wrong = check(output, next?.language === 'sh' ? undefined : next)
    t.equal(wrong, undefined, text)
  }
})
