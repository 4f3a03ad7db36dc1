/** The sum of a metric's series with these labels. */
export function sum(text: string, name: string, labels: Record<string, string> = {}): number {
  let total = 0
  for (const [, series = '', value] of text.matchAll(/^(\w+(?:\{[^}]*\})?) (\S+)$/gm)) {
    if (series.replace(/\{.*/, '') !== name) continue
    if (Object.entries(labels).every(([label, of]) => series.includes(`${label}="${of}"`)))
      total += Number(value)
  }
  return total
}
