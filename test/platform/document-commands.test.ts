// The commands of every document, typed into a shell next to a server started as README.md says,
// on the demo: each must print the output below it.
import { spawnSync } from 'node:child_process'
import { t } from '../support/tap.ts'
import { startDemo } from '../support/demo.ts'
import { examples, pagesWith, read } from '../support/documents.ts'
import { check, startServerFor } from '../support/typing.ts'

t.setTimeout(600_000)

const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'curl is not installed'
const tutorial = 'docs/tutorial.md'
const [setUp] = examples(read(tutorial).split('\n## Set up a shell\n')[1] ?? '')

// One page after another on one demo, as if somebody read them all.
t.test('every command has the output that is shown', { skip }, async t => {
  const { db } = await startDemo(t)
  const { startShell } = await startServerFor(t, db)
  const pages = pagesWith('sh')
  t.ok(pages.flatMap(({ all }) => all).filter(({ answer }) => answer !== undefined).length >= 35)
  for (const { file, all } of pages) {
    await t.test(file, async t => {
      const type = startShell(t)
      if (file !== tutorial && read(file).includes('tutorial.md#set-up-a-shell'))
        await type(setUp?.text ?? '')
      for (const example of all) t.equal(check(await type(example.text), example), undefined, example.text)
    })
  }
})
