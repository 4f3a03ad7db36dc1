// The documents say what is so: settings, links, files, scripts, messages and dependencies.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { Config, readConfig } from '../../src/config.ts'
import { configurationTable, documents, exampleEnvironment, prose, read, root } from '../support/documents.ts'

const manifest = JSON.parse(read('package.json')) as Record<
  'scripts' | 'dependencies' | 'devDependencies' | 'overrides' | 'allowScripts',
  Record<string, unknown>
>

t.test('README.md lists the settings that there are', async t => {
  const [table] = /^\| Variable \|.*?(?=\n\n)/ms.exec(read('README.md')) ?? ['']
  t.equal(table, configurationTable())
})

t.test('.env.example has every setting, commented out, and what else docker compose needs', async t => {
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

/** What GitHub makes of a heading for links within a page. */
const anchor = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

for (const file of documents) {
  t.test(`${file} names what exists`, async t => {
    const text = read(file)
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    for (const link of links.filter(target => !/^https?:/.test(target))) {
      const [path = '', section] = link.split('#')
      const target = path === '' ? file : join(dirname(file), path)
      t.ok(existsSync(join(root, target)), link)
      if (section === undefined) continue
      const headings = [...read(target).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading))
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

/** All of the program's text, without the places where a line was broken. */
const source = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  .map(file => read(join('src', file)))
  .join('\n')

t.test('the messages of a start that fails are those of the program', async t => {
  const [, table = ''] = read('README.md').split('| It says | Do this |\n')
  const messages = [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message = '']) => message)
  t.ok(messages.length >= 10)
  for (const message of messages)
    for (const part of message.split('…')) t.ok(source.includes(part.replace(/\.$/, '')), message)
})

t.test('CONTRIBUTING.md says of every dependency why it is there', async t => {
  const [, section = ''] = read('CONTRIBUTING.md').split(/^## Dependencies$/m)
  const explained = [...prose(section).matchAll(/^- ((?:`[^`]+`(?:, | and )?)+)/gm)]
    .flatMap(([, names = '']) => names.match(/[^`]+(?=`)/g) ?? [])
    .filter(name => !/^(, | and )$/.test(name))
  const { dependencies, devDependencies, overrides, allowScripts } = manifest
  const present = [dependencies, devDependencies, overrides, allowScripts].flatMap(part => Object.keys(part))
  t.same(explained.sort(), [...present].sort())
})
