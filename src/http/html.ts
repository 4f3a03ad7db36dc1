// Printable HTML pages: their escaping and content security policy.
import { createHash } from 'node:crypto'

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
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
  return String(value).replace(/[&<>"']/g, character => entities[character] ?? '')
}
/** Escapes every interpolated value, unless it is itself a result of this function. */
export const html = (parts: TemplateStringsArray, ...values: Value[]) =>
  new Html(parts.reduce((all, part, n) => all + textOf(values[n - 1]) + part))

/** The content security policy of a page: it may use its own style, and nothing else. */
export const policyOf = (style: string) =>
  `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** A complete page, without scripts or external resources. */
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
