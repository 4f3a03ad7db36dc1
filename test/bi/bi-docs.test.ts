// What docs/how-to/connect-bi.md and ask-bi.md show, run on the demo as the login of a BI tool.
import { spawnSync } from 'node:child_process'
import { t } from '../support/tap.ts'
import { connectionsOf, newDatabasePassword } from '../../src/bi/connections.ts'
import { startDemo } from '../support/demo.ts'
import { fences, read } from '../support/documents.ts'
import { refresh } from '../support/figures.ts'
import { answerOf, cellsOf, connectAsPsql } from '../support/sql-answers.ts'

const blocks = ['docs/how-to/connect-bi.md', 'docs/how-to/ask-bi.md'].flatMap(file => fences(read(file)))

t.test('the pages about BI tools', async t => {
  const { db } = await startDemo(t)
  const { password, verifier } = await newDatabasePassword()
  await db.admin`select app_private.create_bi_credential('northlight-touring', '{"name": "Docs"}', ${verifier})`
  await refresh(db)
  const [{ login } = { login: '' }] = await db.admin<
    { login: string }[]
  >`select login from app.bi_credentials`
  const connect = connectionsOf(db.url('callboard_api'), login, password)
  const sql = connectAsPsql(connect.uri.replace('sslmode=prefer', 'sslmode=disable'))
  t.teardown(() => sql.end({ timeout: 1 }))

  await t.test('has a query for every view', async t => {
    const views = await db.admin<{ name: string }[]>`
      select relname as name from pg_class where relnamespace = 'analytics'::regnamespace and relkind = 'v'`
    for (const { name } of views)
      t.ok(
        blocks.some(
          ({ language, text }) => language === 'sql' && new RegExp(`\\b(from|join) ${name}\\b`).test(text),
        ),
        name,
      )
  })

  for (const [index, { language, text }] of blocks.entries()) {
    const next = blocks[index + 1]
    const shown = next?.language === 'text' ? next.text : undefined
    if (language === 'sql') {
      await t.test(text.split('\n')[0] ?? '', async t => {
        const answer = await answerOf(sql, text)
        // What depends on the day on which the demo was made is not shown: bi-questions.test.ts looks at it.
        if (shown !== undefined) t.same(answer, cellsOf(shown))
        else t.match(text, /fact_|dim_/)
      })
    } else if (language === 'sh' && shown !== undefined) {
      const [program = ''] = /psql|\/usr\/bin\/python3|isql/.exec(text) ?? []
      const look =
        { psql: 'psql --version', isql: 'isql --version' }[program] ??
        `${program} -c 'import pandas, sqlalchemy, psycopg2'`
      const isThere = spawnSync('sh', ['-c', look]).status === 0
      await t.test(program, { skip: isThere ? false : 'it is not installed' }, async t => {
        const { stdout } = spawnSync('sh', ['-c', text], {
          env: {
            PATH: process.env['PATH'],
            HOME: '/tmp',
            LC_ALL: 'C.UTF-8',
            BI_URI: connect.uri,
            BI_ODBC: connect.odbc,
          },
          encoding: 'utf8',
        })
        const plain = (said: string) =>
          said
            .split('\n')
            .map(line => line.trimEnd())
            .filter(Boolean)
        t.same(plain(stdout), plain(shown))
      })
    }
  }
})
