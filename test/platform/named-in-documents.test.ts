// Pages that are written by hand name what the code has; those made by npm run docs are in generated-docs.test.ts.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
// Registers the problems of every subject.
import '../../src/app.ts'
import { problems } from '../../src/http/problems.ts'
import { marks, page as performancePage } from '../../scripts/bench/report/publish.ts'
import { read, root } from '../support/documents.ts'

t.test('docs/reference/metrics.md has every metric, and no other', async t => {
  const source = readdirSync(join(root, 'src/monitoring'))
    .map(file => read(join('src/monitoring', file)))
    .join('\n')
  const [table = ''] = /^\| Metric \|.*?(?=\n\n)/ms.exec(read('docs/reference/metrics.md')) ?? []
  const shown = [...table.matchAll(/^\| `(callboard_\w+)`/gm)].map(([, name = '']) => name)
  t.ok(shown.length >= 8)
  for (const [, name = ''] of source.matchAll(/'(callboard_\w+_(?:total|seconds))'/g))
    t.ok(shown.includes(name), name)
  for (const name of shown) {
    const own = [name, name.replace('callboard_database_', ''), name.replace(/_(connections|waiting)$/, '')]
    t.ok(
      own.some(it => source.includes(it)),
      name,
    )
  }
})

t.test('docs/operate/trouble.md names problems that there are', async t => {
  const [, refusals = ''] = read('docs/operate/trouble.md').split('## It refuses requests')
  const named = [...refusals.matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name)
  t.ok(named.length >= 15)
  for (const name of named) t.ok(name in problems, name)
})

t.test('docs/explain/performance.md has a place for each kind of figures, and the picture', async t => {
  const text = read(performancePage)
  for (const kind of ['comparison', 'soak', 'organizations'] as const) {
    const [begin, end] = marks(kind)
    t.equal(text.split(begin).length, 2, begin)
    t.equal(text.split(begin)[1]?.split(end).length, 2, end)
  }
  const [, picture = ''] = /!\[[^\]]*\]\((\S+\.svg)\)/.exec(text) ?? []
  t.match(read(join('docs/explain', picture)), /^<svg/)
})
