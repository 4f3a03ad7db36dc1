/** A figure with so many decimals; empty if there is none. */
export const number = (value: number | undefined, digits = 0) =>
  value === undefined
    ? ''
    : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
/** A factor. */
export const share = (value: number | undefined) => (value === undefined ? '' : `${number(value, 2)} ×`)
export const percent = (value: number | undefined) => (value === undefined ? '' : `${number(value * 100)} %`)

/** Rows as a Markdown table whose columns are as wide as they need to be; the first few are words, the others figures. */
export function markdown(rows: string[][], words: number): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)))
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => (i < words ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, i) => (i < words ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(rows[0] ?? []), line(rule), ...rows.slice(1).map(line)].join('\n')
}
