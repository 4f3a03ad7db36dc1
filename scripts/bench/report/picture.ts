import type { Summary } from './report.ts'

interface Named {
  name: string
  title: string
}
const colours: Record<string, string> = {
  limit: '#9aa3ad',
  callboard: '#c2410c',
  postgrest: '#64748b',
  'fastify-drizzle': '#64748b',
  'express-typeorm': '#64748b',
}
const [left, width, bar, gap] = [190, 480, 18, 26]
const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** A bar chart of the CPU of a request, scaled for each work to the contender that takes most. */
export function picture(works: Named[], contenders: Named[], summaries: Summary[]): string {
  const parts: string[] = []
  let y = 10
  for (const work of works) {
    const rows = contenders.flatMap(({ name, title }) => {
      const found = summaries.find(s => s.work === work.name && s.contender === name && name in colours)
      return found?.cpu === undefined ? [] : [{ name, title, cpu: found.cpu }]
    })
    if (rows.length === 0) continue
    const most = Math.max(...rows.map(({ cpu }) => cpu))
    parts.push(`<text x="10" y="${(y += 18)}" class="work">${escape(work.title)}, microseconds of CPU</text>`)
    y += 8
    for (const { name, title, cpu } of rows) {
      const length = Math.max(1, Math.round((cpu / most) * width))
      const figure = cpu.toLocaleString('en-US', { maximumFractionDigits: 0 })
      parts.push(
        `<text x="${left - 8}" y="${y + 13}" text-anchor="end">${escape(title)}</text>`,
        `<rect x="${left}" y="${y}" width="${length}" height="${bar}" fill="${colours[name]}"/>`,
        `<text x="${left + length + 6}" y="${y + 13}">${figure}</text>`,
      )
      y += bar + 4
    }
    y += gap - bar
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 90} ${y + 10}" font-family="sans-serif" font-size="13" fill="#1f2933">
<rect width="100%" height="100%" fill="#fff"/>
<style>.work { font-weight: bold }</style>
${parts.join('\n')}
</svg>
`
}
