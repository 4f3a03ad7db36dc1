// The documents are correct: settings, links, files, scripts, messages and dependencies.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { t } from '../support/tap.ts'
import { Config, readConfig } from '../../src/config.ts'
import {
  configurationTable,
  documents,
  exampleEnvironment,
  prose,
  read,
  root,
  unrun,
} from '../support/documents.ts'

const manifest = JSON.parse(read('package.json')) as Record<
  'scripts' | 'dependencies' | 'devDependencies' | 'overrides' | 'allowScripts',
  Record<string, unknown>
>

t.test('docs/reference/configuration.md lists exactly the existing settings', async t => {
  const [table] = /^\| Variable \|.*?(?=\n\n)/ms.exec(read('docs/reference/configuration.md')) ?? ['']
  t.equal(table, configurationTable())
})

t.test('.env.example has every setting, commented out, and whatever else docker compose needs', async t => {
  const [compose = '', settings = ''] = read('.env.example').split('# Settings\n')
  t.equal(settings.trim(), exampleEnvironment())
  const named = [...compose.matchAll(/^#(\w+)=$/gm)].map(([, name]) => name)
  const used = [...read('docker-compose.yml').matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name)
  t.same(named.sort(), [...new Set(used)].filter(name => !(name in Config.properties)).sort())
})

t.test('a .env with every default is the default configuration', async t => {
  const file = join(t.testdir({ '.env': read('.env.example').replace(/^#(\w+=)/gm, '$1') }), '.env')
  const { stdout } = spawnSync(
    process.execPath,
    [`--env-file=${file}`, '-p', 'JSON.stringify(process.env)'],
    { env: {}, encoding: 'utf8' },
  )
  t.same(readConfig(JSON.parse(stdout) as Record<string, string>), readConfig({}))
})

/** The anchor that GitHub makes of a heading. */
const anchor = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

t.test('the first pages are short', async t => {
  for (const [file, most] of [
    ['README.md', 150],
    ['CONTRIBUTING.md', 120],
    ['db/README.md', 250],
  ] as const) {
    const lines = read(file).split('\n').length - 1
    t.ok(lines <= most, `${file}: ${lines} lines of ${most}`)
  }
})

t.test('every fenced block is run, or says why not', async t => {
  for (const file of documents) t.same(unrun(read(file)), [], file)
})

t.test('docs/README.md leads to every page', async t => {
  const linked = [...read('docs/README.md').matchAll(/\]\(([^)#]+\.md)\)/g)].map(([, path = '']) =>
    join('docs', path),
  )
  for (const page of documents.filter(file => file.startsWith('docs/') && file !== 'docs/README.md'))
    t.ok(linked.includes(page), page)
})

for (const file of documents) {
  t.test(`${file} names what exists`, async t => {
    const text = read(file)
    const links = [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    for (const link of links.filter(target => !/^(https?|mailto):/.test(target))) {
      const [path = '', section] = link.split('#')
      const target = path === '' ? file : join(dirname(file), path)
      t.ok(existsSync(join(root, target)), link)
      if (section === undefined) continue
      const headings = [...prose(read(target)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        anchor(heading),
      )
      t.ok(headings.includes(section), link)
    }
    for (const [, path = ''] of text.matchAll(
      /(?<![\w./])((?:\.ci|db|docs|scripts|src|test)\/[\w./-]*\w|docker-compose\.yml|Dockerfile|\.env\.example)/g,
    ))
      t.ok(existsSync(join(root, path)), path)
    for (const [, script = ''] of text.matchAll(/\bnpm run (?:-s |--silent )?([\w:-]+)/g))
      t.ok(script in manifest.scripts, `npm run ${script}`)
    for (const [, script = ''] of text.matchAll(/\bnpm (start|test)\b/g)) t.ok(script in manifest.scripts)
  })
}

const filesUnder = (folder: string, ending: RegExp) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => ending.test(file))
    .map(file => read(join(folder, file)))

t.test('the documents name only existing tables, functions and settings', async t => {
  const sql = [...filesUnder('db', /\.sql$/)].join('\n')
  const rest = [...filesUnder('src', /\.ts$/), ...filesUnder('test', /\.ts$/), sql].join('\n')
  const others = [
    '.env.example',
    'docker-compose.yml',
    'scripts/audit-verify.ts',
    'scripts/bench/peers/peers.ts',
  ]
  const all = [rest, ...others.map(read)].join('\n')
  const byHand = documents.filter(file => !/reference\/(schema|permissions|problems)\.md$/.test(file))
  for (const file of byHand) {
    const text = prose(read(file))
    for (const [, name = ''] of text.matchAll(
      /`((?:app|app_private|analytics|analytics_private)\.[a-z]\w*)/g,
    ))
      t.ok(new RegExp(`\\b${name}\\b`).test(sql), `${file}: ${name}`)
    for (const [, name = ''] of text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)_?`/g))
      t.ok(all.includes(name), `${file}: ${name}`)
  }
})

/** All of the program's source. */
const source = filesUnder('src', /\.ts$/).join('\n')

t.test('the messages of a failed start are those of the program', async t => {
  const [, table = ''] = read('docs/operate/trouble.md').split('| It says | Do this |\n')
  const messages = [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message = '']) => message)
  t.ok(messages.length >= 10)
  for (const message of messages)
    for (const part of message.split('…')) t.ok(source.includes(part.replace(/\.$/, '')), message)
})

t.test('docs/dependencies.md says why every dependency is there', async t => {
  const section = read('docs/dependencies.md')
  const explained = [...prose(section).matchAll(/^- ((?:`[^`]+`(?:, | and )?)+)/gm)]
    .flatMap(([, names = '']) => names.match(/[^`]+(?=`)/g) ?? [])
    .filter(name => !/^(, | and )$/.test(name))
  const { dependencies, devDependencies, overrides, allowScripts } = manifest
  const present = [dependencies, devDependencies, overrides, allowScripts].flatMap(part => Object.keys(part))
  t.same(explained.sort(), [...present].sort())
})
