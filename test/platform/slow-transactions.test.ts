import { readFile } from 'node:fs/promises'
import { t } from '../support/tap.ts'
import { openClusters, startCluster, withoutClusters } from '../support/clusters.ts'
import { aShow, password, until } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'

/** The statements of a block of docs/operate/slow.md. */
const settings = async () =>
  /```sql\n([^`]*alter system[^`]*)```/.exec(await readFile('docs/operate/slow.md', 'utf8'))?.[1] ?? ''

t.test(
  'a slow statement in the log of PostgreSQL leads to its organization and request',
  withoutClusters(),
  async t => {
    const clusters = await openClusters(t)
    const { data, db } = await startCluster(clusters, 'slow')
    for (const statement of (await settings()).split(';').filter(text => text.trim() !== ''))
      await db.admin.unsafe(statement)
    const server = startServerProcess(t, {
      NODE_ENV: 'test',
      PORT: '0',
      DATABASE_URL: db.url('callboard_api'),
      JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
      SLOW_TRANSACTION: '0.7',
    })
    const [, url = ''] = await server.says(/Server listening at ([^"]*)"/)
    const ask = async (method: string, path: string, body: object, token?: string) => {
      const headers = {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      }
      const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
      return (await response.json()) as Record<string, string>
    }
    const [ana, ben] = await Promise.all(
      ['Ana', 'Ben'].map(name =>
        ask('POST', '/api/auth/register', {
          email: `${name}@example.com`,
          password,
          display_name: name,
          organization_name: name,
        }),
      ),
    )
    const make = (person = ana) => ask('POST', '/api/shows', aShow, person?.['access_token'])
    const [mine, theirs] = [await make(ana), await make(ben)]

    // Another session holds the row for a while: the statement waits.
    const change = (person: typeof ana, show: typeof mine) =>
      ask('PATCH', `/api/shows/${show['id']}`, { title: 'Spring Tour' }, person?.['access_token'])
    let changing: Promise<unknown> | undefined
    await db.admin.begin(async sql => {
      await sql`select from app.shows where id = ${mine['id'] ?? ''} for update`
      changing = change(ana, mine)
      await until(
        async () => (await db.admin`select from pg_stat_activity where wait_event_type = 'Lock'`).length > 0,
      )
      await sql`select pg_sleep(1)`
    })
    await changing
    await change(ben, theirs)

    // It writes all of its log when it stops.
    server.child.kill('SIGTERM')
    await server.ended
    const ours = server.said
      .flatMap(line =>
        line.includes('"slow transaction"') ? [JSON.parse(line) as Record<string, unknown>] : [],
      )
      .filter(({ method }) => method === 'PATCH')
    t.match(ours, [
      {
        organization_id: ana?.['organization_id'],
        route: '/api/shows/:id',
        reqId: String,
        backend_pid: Number,
        ms: Number,
      },
    ])
    t.equal(ours.length, 1, 'a fast one is not logged')
    const [line = {}] = ours

    const slow = async () =>
      [
        ...(await readFile(`${data}.log`, 'utf8')).matchAll(
          /^(?<at>\S+ \S+) UTC \[(?<pid>\d+)\] callboard api \S+ LOG: +duration: (?<ms>[\d.]+) ms .*(?<statement>write_show|update|patch)/gim,
        ),
      ].map(({ groups = {} }) => groups)
    const theirsOf = await slow()
    const began = Date.parse(String(line['began']))
    const joined = theirsOf.filter(
      ({ pid, at }) =>
        Number(pid) === line['backend_pid'] &&
        Date.parse(`${at?.replace(' ', 'T')}Z`) >= began &&
        Date.parse(`${at?.replace(' ', 'T')}Z`) <= began + Number(line['ms']) + 1,
    )
    t.equal(joined.length, 1, `one statement of PostgreSQL's log: ${JSON.stringify(theirsOf)}`)
    t.ok(Number(joined[0]?.['ms']) >= 900, 'it is the one that waited')
  },
)
