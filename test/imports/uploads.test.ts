// Files that are being received are on the disk of the server, and a sender may be slow: nobody has many there.
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { text } from 'node:stream/consumers'
import { t } from '../support/tap.ts'
import { join, type Person, register, startServer, until } from '../support/helper.ts'

const server = await startServer(t)
const url = await server.app.listen({ host: '127.0.0.1', port: 0 })
const ana = await register(server, 'Ana')
const [ben, kim] = [await join(server, ana, 'manager'), await join(server, ana, 'viewer')]
const eve = await register(server, 'Eve')

const whole = 'title,artist,show_on\nFirst night,The Gaslights,2027-03-14\n'
const held: ClientRequest[] = []
t.teardown(() => {
  for (const one of held) one.destroy()
})
/** Sends a file, but for its last byte; `rest` sends that. */
function send(person: Person, path = '/api/imports?resource=shows', type = 'text/csv') {
  const put = path.endsWith('/receipt')
  const one = request(`${url}${path}`, {
    method: put ? 'PUT' : 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${person.token}`,
      'content-type': type,
      'content-length': whole.length,
    },
  })
  held.push(one)
  one.on('error', () => {})
  one.write(whole.slice(0, -1))
  const answer = { status: 0, body: '' }
  const answered = once(one, 'response').then(async ([response]) => {
    answer.body = await text(response as IncomingMessage)
    answer.status = (response as IncomingMessage).statusCode ?? 0
    return answer.status
  })
  answered.catch(() => {})
  return { one, answer, answered, rest: () => (one.end(whole.slice(-1)), answered) }
}
const before = new Set(readdirSync(tmpdir()))
const onDisk = () =>
  readdirSync(tmpdir()).filter(name => /^callboard-[\da-f-]{36}$/.test(name) && !before.has(name)).length

t.test('a person has four files there, whatever they may do with them, and a company eight', async t => {
  const slow = Array.from({ length: 4 }, () => send(kim))
  await until(() => onDisk() === 4)
  const fifth = send(kim)
  const receipt = send(kim, `/api/expenses/${kim.id}/receipt`, 'application/pdf')
  t.equal(await send(ben).rest(), 201, 'a colleague does not wait for theirs')
  const others = Array.from({ length: 4 }, () => send(ben))
  await until(() => onDisk() === 8)
  const ninth = send(ana)
  const [fifthEnd, receiptEnd, ninthEnd] = [fifth.rest(), receipt.rest(), ninth.rest()]
  t.equal(await send(eve).rest(), 201, 'nor does another company')
  await until(() => onDisk() === 8)
  t.same(
    [fifth, receipt, ninth].map(({ answer }) => answer.status),
    [0, 0, 0],
  )

  slow[0]?.one.destroy()
  t.equal(await fifthEnd, 403, 'the next one has the place of one that was given up')
  t.equal(await receiptEnd, 404)
  others[0]?.one.destroy()
  t.equal(await ninthEnd, 201)
  for (const { one } of [...slow, ...others]) one.destroy()
  await until(() => onDisk() === 0)
})

t.test('who gives up waiting takes no place', async t => {
  const slow = Array.from({ length: 4 }, () => send(kim))
  await until(() => onDisk() === 4)
  const waiting = Array.from({ length: 4 }, () => send(kim))
  t.equal(await send(ben).rest(), 201)
  for (const { one } of waiting) one.destroy()
  t.equal(await send(ben).rest(), 201)
  for (const { rest } of slow) t.equal(await rest(), 403)
  await until(() => onDisk() === 0)
  t.same(await Promise.all(Array.from({ length: 4 }, () => send(kim).rest())), [403, 403, 403, 403])
})
