// The statements of every document, run in order on the demo as a superuser: each must return the result below it.
import { t } from '../support/tap.ts'
import { startDemo } from '../support/demo.ts'
import { general, pagesWith } from '../support/documents.ts'
import { answerOf, cellsOf, connectAsPsql } from '../support/sql-answers.ts'

const plain = (rows: string[][]) => rows.map(row => row.map(general))

t.test('every statement has the result that is shown', async t => {
  const { url } = await startDemo(t)
  const pages = pagesWith('sql')
  t.ok(pages.flatMap(({ all }) => all).filter(({ answer }) => answer !== undefined).length >= 45)
  for (const { file, all } of pages) {
    await t.test(file, async t => {
      const sql = connectAsPsql(url)
      t.teardown(() => sql.end())
      for (const { text, answer } of all) {
        if (answer?.text.startsWith('ERROR:') === true) {
          await t.rejects(sql.unsafe(text), { message: answer.text.replace('ERROR:', '').trim() }, text)
          continue
        }
        const actual = await answerOf(sql, text)
        if (answer !== undefined) t.same(plain(actual), plain(cellsOf(answer.text)), text)
      }
    })
  }
})
