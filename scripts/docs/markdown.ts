// How the generated pages are written: GitHub's Markdown.

/** Text within a table's cell or a paragraph, where it must not turn into markup. */
export const prose = (text: string) =>
  text
    .replace(/\s+/g, ' ')
    .replace(/[\\*[\]|]/g, String.raw`\$&`)
    .replace(/(?<!\w)_/g, String.raw`\_`)
    .replaceAll('<', '&lt;')

/** SQL within a line; a bar would end the cell even there. */
export const code = (text: string) => {
  const line = text.replace(/\s+/g, ' ').replaceAll('|', String.raw`\|`)
  return line.includes('`') ? `\`\` ${line} \`\`` : `\`${line}\``
}

/** A table, or nothing when it has no rows. Columns that are empty in every row are left out. */
export function table(head: string[], rows: string[][]): string[] {
  if (rows.length === 0) return []
  const kept = head.map((_, column) => column).filter(column => rows.some(row => row[column] !== ''))
  const line = (cells: string[]) =>
    `| ${kept.map(column => cells[column]).join(' | ')} |`.replaceAll('  ', ' ')
  return [line(head), line(head.map(() => '---')), ...rows.map(line), '']
}

/** The anchor that GitHub gives to a heading. */
export const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
