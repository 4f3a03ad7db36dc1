// Which metrics and labels an expression of Prometheus names.

/** A metric, with the conditions on its labels. */
export interface Selector {
  metric: string
  matchers: { label: string; operator: string; value: string }[]
}

const words = new Set(
  'and or unless by without on ignoring group_left group_right offset bool inf nan'.split(' '),
)
const selector = /(?<![\w.$])([a-zA-Z_:][\w:]*)\s*(\{([^}]*)\})?(?=\s*(.?))/g

/** Throws if there is something that it does not understand, rather than overlook it. */
export function namesIn(expression: string): {
  selectors: Selector[]
  grouped: string[]
  functions: string[]
} {
  const grouped: string[] = []
  const functions: string[] = []
  const rest = expression
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g, (_, list: string) => {
      grouped.push(...list.split(',').map(label => label.trim()))
      return ' '
    })
    .replaceAll(/\[[\w$]+(?::\w*)?\]/g, ' ')
    .replaceAll(/\boffset\s+\w+/g, ' ')
  const selectors: Selector[] = []
  for (const [, metric = '', braces, inner = '', next] of rest.matchAll(selector)) {
    if (words.has(metric)) continue
    if (next === '(' && braces === undefined) {
      functions.push(metric)
      continue
    }
    const matchers = [...inner.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)]
    const said = matchers.map(([all]) => all).join(',')
    if (said !== inner.replaceAll(/\s*,\s*/g, ',').trim()) throw new Error(`not understood: {${inner}}`)
    selectors.push({
      metric,
      matchers: matchers.map(([, label = '', operator = '', value = '']) => ({ label, operator, value })),
    })
  }
  return { selectors, grouped, functions }
}

/** The series in what a program prints: for each metric its samples' labels. A metric may have none yet. */
export function seriesOf(text: string): Map<string, Record<string, string>[]> {
  const all = new Map<string, Record<string, string>[]>()
  for (const [, name = '', kind] of text.matchAll(/^# TYPE (\w+) (\w+)$/gm))
    for (const own of kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name])
      all.set(own, [])
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
    all
      .set(name, all.get(name) ?? [])
      .get(name)
      ?.push(Object.fromEntries(pairs.map(([, label = '', value = '']) => [label, value])))
  }
  return all
}
