// Pages to print: what they are escaped and allowed by.
import { createHash } from 'node:crypto'

const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
/** HTML that is already safe. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
export type Value = string | number | null | undefined | false | Html | Html[]

const textOf = (value: Value): string => {
  if (value instanceof Html) return value.text
  if (Array.isArray(value)) return value.map(textOf).join('')
  if (value === null || value === undefined || value === false) return ''
  return String(value).replace(/[&<>"']/g, character => named[character] ?? '')
}
/** Whatever is put into the text is escaped, unless it came out of this function. */
export const html = (parts: TemplateStringsArray, ...values: Value[]) =>
  new Html(parts.reduce((all, part, n) => all + textOf(values[n - 1]) + part))

/** What a browser may do with a page: show it in its own style, and nothing else. */
export const policyOf = (style: string) =>
  `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** A whole page. It needs nothing from elsewhere and has no scripts. */
export const pageOf = (title: string, style: string, body: Html): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        ${new Html(`<style>${style}</style>`)}
      </head>
      <body>
        ${body}
      </body>
    </html> `.text
