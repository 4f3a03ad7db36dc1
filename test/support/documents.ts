// What the tests of the documents share: the documents as data.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '../../src/config.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const read = (file: string) => readFileSync(join(root, file), 'utf8')
export const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'db/README.md',
  'docs/bi.md',
  'docs/performance.md',
]

export interface Fence {
  language: string
  text: string
}

/** The fenced blocks of a text, in order. */
export function fences(markdown: string): Fence[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
    language,
    text,
  }))
}

/** A text without its fenced blocks. */
export const prose = (markdown: string) => markdown.replace(/^```.*?^```$/gms, '')

const settings = Object.entries(Config.properties).map(([name, schema]) => {
  const { default: value, description = '' } = schema as {
    default?: string | number | boolean
    description?: string
  }
  return { name, value: value === undefined ? '' : String(value), description }
})

/** The settings as README.md lists them. */
export function configurationTable(): string {
  const rows = settings.map(
    ({ name, value, description }) => `| \`${name}\` | ${value && `\`${value}\``} | ${description} |`,
  )
  return ['| Variable | Default | What it is |', '| --- | --- | --- |', ...rows].join('\n')
}

/** The settings as .env.example has them, commented out. */
export function exampleEnvironment(): string {
  const lines = settings.map(({ name, value, description }) => {
    // For a shell, docker compose and node --env-file alike.
    const quoted = /[^\w.:/,-]/.test(value) ? `"${value}"` : value
    return `# ${description}\n#${name}=${quoted}`
  })
  return lines.join('\n\n')
}

const forms: [RegExp, string][] = [
  [/\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b/g, '<id>'],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+\d\d(:\d\d)?|Z)/g, '<time>'],
  [/\b\d{4}-\d\d-\d\d\b/g, '<date>'],
]

/** A text without what differs from day to day: ids, dates and times. */
export const general = (text: string) => forms.reduce((all, [form, name]) => all.replace(form, name), text)

/** Whether an answer has at least the fields that a document shows of it; … ends a shortened text. */
export function shows(actual: unknown, shown: unknown): boolean {
  if (typeof shown === 'string') {
    if (typeof actual !== 'string') return false
    return shown.endsWith('…') ? actual.startsWith(shown.slice(0, -1)) : general(actual) === general(shown)
  }
  if (Array.isArray(shown))
    return (
      Array.isArray(actual) &&
      actual.length === shown.length &&
      shown.every((item, index) => shows(actual[index], item))
    )
  if (typeof shown === 'object' && shown !== null)
    return (
      typeof actual === 'object' &&
      actual !== null &&
      Object.entries(shown).every(([name, value]) => shows((actual as Record<string, unknown>)[name], value))
    )
  return actual === shown
}
