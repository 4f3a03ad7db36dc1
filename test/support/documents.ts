// What the tests of the documents share: the documents as data.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '../../src/config.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const read = (file: string) => readFileSync(join(root, file), 'utf8')
const files = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'db/README.md']
const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
/** Every document, by its path from the root. */
export const documents = [
  ...files,
  ...pages
    .filter(file => file.endsWith('.md'))
    .map(file => join('docs', file))
    .sort(),
]

export interface Fence {
  language: string
  text: string
  /** Why no test runs it, if the document says so. */
  notRun?: string
}

/** The fenced blocks of a text, in order. A comment before a block says why it is not run. */
export function fences(markdown: string): Fence[] {
  const blocks = markdown.matchAll(/(?:^<!-- not run: ([^\n]+) -->\n+)?^```(\w*)\n(.*?)^```$/gms)
  return [...blocks].map(([, notRun, language = '', text = '']) => ({
    language,
    text,
    ...(notRun !== undefined && { notRun }),
  }))
}

export interface Example extends Fence {
  /** The block that shows the example's output. */
  answer?: Fence
}

/** Whether a block of the language shows output, and is not an example itself. */
const isAnswer = (language: string) => ['json', 'http', 'text'].includes(language)

/** The examples of a text, each with the output below it. */
export function examples(markdown: string): Example[] {
  const blocks = fences(markdown)
  return blocks.flatMap((block, index) => {
    const next = blocks[index + 1]
    if (isAnswer(block.language)) return []
    return [{ ...block, ...(next && isAnswer(next.language) && { answer: next }) }]
  })
}

/** Run by a test or, as a diagram, nothing to run. */
const runnable = ['sh', 'sql', 'mermaid']

/** The blocks of a text that no test runs and that do not say why. */
export function unrun(markdown: string): string[] {
  const blocks = fences(markdown)
  const unfound = markdown.split('```').length - 1 - blocks.length * 2
  return [
    ...(unfound === 0 ? [] : ['a block was not found: does it start its line?']),
    ...blocks
      .filter(({ language, notRun }, index) => {
        if (notRun !== undefined || runnable.includes(language)) return false
        return !isAnswer(language) || !runnable.includes(blocks[index - 1]?.language ?? '')
      })
      .map(({ text }) => text),
  ]
}

/** What a BI tool does: test/bi/bi-docs.test.ts runs it. */
const isOfBi = (file: string, { language, text }: Example) =>
  ['docs/how-to/connect-bi.md', 'docs/how-to/ask-bi.md'].includes(file) &&
  (language === 'sql' || /\bBI_(URI|ODBC)\b/.test(text))

/** The documents with runnable examples in a language, and those examples, the tutorial first. */
export const pagesWith = (language: string) =>
  [...documents]
    .sort((a, b) => Number(b.endsWith('tutorial.md')) - Number(a.endsWith('tutorial.md')))
    .map(file => ({
      file,
      all: examples(read(file)).filter(
        example => example.language === language && example.notRun === undefined && !isOfBi(file, example),
      ),
    }))
    .filter(({ all }) => all.length > 0)

/** A text without its fenced blocks. */
export const prose = (markdown: string) => markdown.replace(/^```.*?^```$/gms, '')

const settings = Object.entries(Config.properties).map(([name, schema]) => {
  const { default: value, description = '' } = schema as {
    default?: string | number | boolean
    description?: string
  }
  return { name, value: value === undefined ? '' : String(value), description }
})

/** The settings as docs/reference/configuration.md lists them. */
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

/** A text with ids, dates and times, which vary, replaced. */
export const general = (text: string) => forms.reduce((all, [form, name]) => all.replace(form, name), text)

/** Whether a response has at least the fields that a document shows; … ends a shortened text. */
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
