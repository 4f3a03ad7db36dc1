// `npm run audit:policies` audits the database of ADMIN_DATABASE_URL: how it differs from what the migrations make,
// which rules it breaks, and what each role sees and changes of an organization when it tries.
import { readFileSync, writeFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { misuse, readArguments } from '../../src/arguments.ts'
import { audit, type Part, parts, type Report } from '../../src/policies/audit.ts'
import { type Comparison, since } from '../../src/policies/baseline.ts'
import { type Exception, ownExceptions, readExceptions } from '../../src/policies/exceptions.ts'
import type * as ofMigration from './audit-migration.ts'
import { markdown } from './output/markdown.ts'
import { page } from './output/page.ts'
import { sarif } from './output/sarif.ts'
import { text } from './output/text.ts'

export type Compared = Report & { comparison?: Comparison }

const usage = `Usage: npm run audit:policies -- [options]
       npm run audit:policies -- --migration <which> [--exceptions <file>] [--json …]

The first audits the database of ADMIN_DATABASE_URL, a superuser's connection. Nothing in it changes: what is tried is rolled back.

  --read-only            tries no INSERT, UPDATE or DELETE, only plans them (EXPLAIN): for production
  --parts <a,b>          some of drift, rules, proof (all)
  --org <slug>           the organization that tries (A), and
  --other <slug>         one whose rows it must not see; otherwise the two with the most members
  --timeout <time>       for what one role tries in one context (30s)
  --migration <which>    says what a migration of this checkout changes, on a server of its own: next (what npm run
                         migration:commit would commit), latest, or a file in db/migrations/committed/
  --exceptions <file>    findings that may stay, each with its reason; may be given several times
  --baseline <file>      an earlier --json: reports only what has changed since
  --json, --sarif, --markdown, --html <file>
                         writes the report; - is the standard output, instead of the summary
  --help                 this

Exit status: 0 nothing found (differences that are safe do not count), 1 findings, 2 something could not be looked at.`

const options = () =>
  readArguments(usage, {
    'read-only': { type: 'boolean' },
    parts: { type: 'string' },
    org: { type: 'string' },
    other: { type: 'string' },
    timeout: { type: 'string' },
    migration: { type: 'string' },
    exceptions: { type: 'string', multiple: true, default: [] },
    baseline: { type: 'string' },
    json: { type: 'string' },
    sarif: { type: 'string' },
    markdown: { type: 'string' },
    html: { type: 'string' },
  }).values

type Options = ReturnType<typeof options>

function chosen(list = parts.join(',')): Part[] {
  const names = list.split(',')
  const unknown = names.find(name => !(parts as readonly string[]).includes(name))
  if (unknown !== undefined) misuse(usage, `--parts: there is no part "${unknown}", only ${parts.join(', ')}`)
  return parts.filter(part => names.includes(part))
}

async function main(): Promise<number> {
  const values = options()
  const exceptions = [...ownExceptions(), ...values.exceptions.flatMap(readExceptions)]
  const report =
    values.migration === undefined
      ? await ofDatabase(values, exceptions)
      : await ofMigrations(values.migration, values, exceptions)
  write(report, values)
  if (report.findings.some(finding => finding.class !== 'safe')) return 1
  return report.blind.length > 0 ? 2 : 0
}

/** What a migration of the checkout changes. */
async function ofMigrations(which: string, values: Options, exceptions: Exception[]): Promise<Compared> {
  const other = (['read-only', 'parts', 'org', 'other', 'timeout', 'baseline'] as const).find(
    name => values[name] !== undefined,
  )
  if (other !== undefined) misuse(usage, `--${other} is of the audit of a database: not with --migration`)
  // By an address that is not followed by npm run build: it needs the checkout, and packages of development.
  const file = new URL(`./audit-migration${extname(import.meta.url)}`, import.meta.url)
  const { auditMigration, NoSuchMigration } = (await import(file.href).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    misuse(usage, '--migration needs a checkout of the repository with its packages of development')
  })) as typeof ofMigration
  return auditMigration(which, exceptions).catch((error: unknown) => {
    if (error instanceof NoSuchMigration) misuse(usage, error.message)
    throw error
  })
}

/** What is found in the database of ADMIN_DATABASE_URL. */
async function ofDatabase(values: Options, exceptions: Exception[]): Promise<Compared> {
  const url = process.env['ADMIN_DATABASE_URL']
  if (!url) misuse(usage, "Set ADMIN_DATABASE_URL to a superuser's connection to the database.")
  const chosenParts = chosen(values.parts)
  const baseline =
    values.baseline === undefined ? undefined : (JSON.parse(readFileSync(values.baseline, 'utf8')) as Report)
  const sql = postgres(url, { max: 1, onnotice: () => {}, connect_timeout: 10 })
  let report: Compared
  try {
    report = await audit(sql, {
      parts: chosenParts,
      exceptions,
      isReadOnly: values['read-only'] ?? false,
      timeout: values.timeout ?? '30s',
      ...(values.org !== undefined && { a: values.org }),
      ...(values.other !== undefined && { b: values.other }),
    })
  } finally {
    await sql.end({ timeout: 5 })
  }
  return baseline ? since(report, baseline) : report
}

function write(
  report: Compared,
  files: Partial<Record<'json' | 'sarif' | 'markdown' | 'html', string>>,
): void {
  const written = {
    json: () => `${JSON.stringify(report, null, 1)}\n`,
    sarif: () => `${JSON.stringify(sarif(report), null, 1)}\n`,
    markdown: () => markdown(report),
    html: () => page(report),
  }
  let isTaken = false
  for (const [format, make] of Object.entries(written)) {
    const file = files[format as keyof typeof written]
    if (file === undefined) continue
    if (file === '-') {
      process.stdout.write(make())
      isTaken = true
    } else writeFileSync(file, make())
  }
  if (!isTaken) console.log(text(report))
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await main().catch((error: unknown) => {
    console.error(`could not look: ${error instanceof Error ? error.message : String(error)}`)
    return 2
  })
