// Every program of package.json says how it is called.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { programArgs, root } from '../support/program.ts'

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}
const programs = Object.entries(scripts).flatMap(([name, command]) => {
  const [, file, fixed = ''] = /^node .*--import tsx (\S+\.ts)(.*)$/.exec(command) ?? []
  // npm run dev never ends; it is npm start otherwise.
  return file === undefined || command.includes('--watch') ? [] : [{ name, file, fixed }]
})
// Programs of others, which have their own.
const others = ['dev', 'openapi:lint', 'lint', 'format', 'typecheck']

/** Calls a program without any setting: whatever it did apart from printing would fail. */
const call = ({ file, fixed }: (typeof programs)[number], ...args: string[]) =>
  new Promise<{ code: unknown; stdout: string; stderr: string }>(resolve => {
    const given = [...programArgs(file), ...fixed.trim().split(' ').filter(Boolean), ...args]
    const env = { PATH: process.env['PATH'] }
    execFile(process.execPath, given, { cwd: root, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    })
  })

t.same(
  [...programs.map(({ name }) => name), ...others].sort(),
  Object.keys(scripts).sort(),
  'every script is one of these',
)

for (const program of programs) {
  const { name } = program
  t.test(`npm run ${name} says how it is called`, async t => {
    const [help, unknown, wrongHelp] = await Promise.all([
      call(program, '--help'),
      call(program, '--no-such-option'),
      call(program, '--no-such-option', '-h'),
    ])
    t.match(help, { code: 0, stdout: /^Usage: npm (run |start|test)/, stderr: '' })
    t.ok(
      help.stdout.includes(`npm run ${name}`) || /^Usage: npm (start|test)\b/.test(help.stdout),
      'by its name',
    )
    t.match(unknown, { code: 2, stdout: '', stderr: /^Unknown option '--no-such-option'/ })
    t.ok(unknown.stderr.endsWith(`\n\n${help.stdout}`), unknown.stderr)
    t.same(wrongHelp, help)
  })
}

t.test('one argument too many is refused, and so is a value that is missing', async t => {
  for (const [name, args, why] of [
    ['migrate', ['now'], /^Unexpected argument 'now'\n\nUsage: npm run migrate /],
    ['openapi', ['a.json', 'b.json'], /^Unexpected argument 'b.json'\n\nUsage: /],
    ['bi', ['create', '--org'], /^Option '--org <value>' argument missing\n\nUsage: /],
    ['bi', ['list', '--org', '--help'], /^Usage: npm run bi -- create/],
    ['bi', ['list', '--', '--help', 'x'], /^Unexpected argument 'x'\n\nUsage: /],
    ['migration:commit', [], /^Say what the migration does: .*\n\nUsage: /],
    ['test', ['test/nowhere.test.ts'], /^There is no test test\/nowhere.test.ts\n\nUsage: npm test/],
  ] as const) {
    const { code, stdout, stderr } = await call(
      programs.find(p => p.name === name) as (typeof programs)[number],
      ...args,
    )
    t.match(stderr + stdout, why, `${name} ${args.join(' ')}`)
    t.equal(code, args.at(-1) === '--help' ? 0 : 2)
  }
})
