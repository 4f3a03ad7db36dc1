// The pages of docs/reference/ that `npm run docs` makes are what it would make now, and can be read.
import t from 'tap'
import { type Catalogue, readCatalogue } from '../../scripts/docs/catalogue.ts'
import { pages } from '../../scripts/docs/docs.ts'
import { anchor } from '../../scripts/docs/markdown.ts'
import { read } from '../support/documents.ts'
import { startDatabase } from '../support/helper.ts'

const { admin } = await startDatabase(t)
const made = await pages(admin)
const schema = made.get('docs/reference/schema.md') ?? ''
const catalogue: Catalogue = await readCatalogue(admin)

for (const [file, text] of made)
  t.test(`${file} is what the database and the routes say`, async t => {
    const lines = text.split('\n')
    const committed = read(file).split('\n')
    const first = lines.findIndex((line, index) => line !== committed[index])
    const differs = first === -1 ? committed.length - lines.length : first + 1
    t.equal(differs, 0, differs === 0 ? 'up to date' : `stale: run npm run docs (line ${differs} differs)`)
    t.equal(new Set(text.match(/^#+ .*/gm)).size, text.match(/^#+ .*/gm)?.length, 'no heading is there twice')
    const anchors = new Set([...text.matchAll(/^#+ (.*)/gm)].map(([, heading = '']) => anchor(heading)))
    for (const [, target = ''] of text.matchAll(/\]\(#([^)]+)\)/g)) t.ok(anchors.has(target), `#${target}`)
  })

t.test('every table of the database has a section, and so has each of its parts', async t => {
  t.ok(catalogue.tables.length > 50)
  for (const { name, columns, constraints, indexes, triggers, policies } of catalogue.tables) {
    const section = schema.split(`\n### ${name}\n`)[1]?.split(/\n##+ /)[0] ?? ''
    const parts = [...columns, ...constraints, ...indexes, ...triggers, ...policies]
    const missing = parts.filter(part => !section.includes(`\n| \`${part.name}\` | `))
    t.same(missing, [], name)
  }
  for (const view of catalogue.views) t.ok(schema.includes(`\n| \`${view.name}\` | `), view.name)
  for (const routine of catalogue.functions) t.ok(schema.includes(`\n| \`${routine.name}(`), routine.name)
})

// The grammar of Mermaid's erDiagram, as far as the diagrams use it: mermaid itself is 154 MB.
const name = String.raw`(?:[a-z_]\w*|"[a-z_.]+")`
const grammar = {
  empty: new RegExp(`^  ${name}$`),
  begin: new RegExp(`^  ${name} \\{$`),
  attribute: /^ {4}[a-z_][\w()[\]]* [a-z_]\w* (?:PK|FK|UK)(?:, (?:PK|FK|UK))*$/,
  end: /^ {2}\}$/,
  relation: new RegExp(String.raw`^  (${name}) (?:\|\||\|o)--o[|{] (${name}) : "([\w, ]+)"$`),
}

t.test('every diagram is one that Mermaid can draw, and together they have every foreign key', async t => {
  const diagrams = [...schema.matchAll(/^```mermaid\nerDiagram\n(.*?)^```$/gms)].map(([, text = '']) => text)
  t.equal(diagrams.length, schema.match(/^```mermaid$/gm)?.length)
  const drawn = new Set<string>()
  for (const lines of diagrams.map(text => text.trimEnd().split('\n'))) {
    let isWithin = false
    for (const line of lines) {
      const kind = Object.entries(grammar).find(([, pattern]) => pattern.test(line))?.[0]
      t.ok(kind !== undefined && isWithin === (kind === 'attribute' || kind === 'end'), line)
      if (kind === 'begin' || kind === 'end') isWithin = kind === 'begin'
      const [, target = '', from = '', columns = ''] = grammar.relation.exec(line) ?? []
      if (kind === 'relation') drawn.add([from, columns, target].join(' ').replaceAll('"', ''))
    }
    t.notOk(isWithin, 'the last entity ends')
  }
  for (const table of catalogue.tables)
    for (const { type, columns, target } of table.constraints) {
      const names = columns.filter(column => column !== 'organization_id' || columns.length === 1)
      if (type !== 'f' || target === null) continue
      if (target === 'app.organizations' && names[0] === 'organization_id') continue
      if (target === 'app.users' && names.every(column => column.endsWith('_by'))) continue
      const key = [table.name, names.join(', '), target].join(' ').replaceAll(/\bapp\./g, '')
      t.ok(drawn.has(key), key)
    }
})
