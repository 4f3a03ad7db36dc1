import type { Markish } from '@observablehq/plot'

/** One amount of a month, in whole units of its currency. */
export interface Month {
  on: Date
  income: number
  expense: number
  profit: number
}
export interface Bar {
  name: string
  count: number
}
export interface Day {
  on: Date
  events: number
}
/** From the start of one day to the end of another. */
export interface Range {
  from: Date
  to: Date
}
/** Plots as SVG, with a text alternative. */
export interface Plots {
  money: (months: Month[], range: Range, currency: string, label: string) => string
  bars: (bars: Bar[], label: string) => string
  days: (days: Day[], range: Range, label: string) => string
}

interface Drawing {
  outerHTML: string
  querySelector: (selector: string) => { remove: () => void } | null
  setAttribute: (name: string, value: string) => void
}

// Dark enough on white (contrast above 4.5 to 1), and distinguished by position as well.
const income = '#1f5f99'
const expense = '#b3501b'

/** Loads the library, which takes half a second and 35 MB, so only when there is something to draw. */
async function load(): Promise<Plots> {
  const [Plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')])
  // The library's types are those of a browser, which is absent here.
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as unknown as {
    document: never
  }

  function draw(label: string, options: object, marks: Markish[]): string {
    const svg = Plot.plot({
      document,
      width: 680,
      className: 'plot',
      ...options,
      marks,
    }) as unknown as Drawing
    // The page has the style for it, and its policy allows no other.
    svg.querySelector('style')?.remove()
    svg.setAttribute('role', 'img')
    svg.setAttribute('aria-label', label)
    return svg.outerHTML
  }
  return {
    money: (months, { from, to }, currency, label) => {
      const width = 680
      const booked = months.filter(m => m.income !== 0 || m.expense !== 0)
      const highest = Math.max(1, ...booked.flatMap(m => [m.income, m.expense].map(Math.abs)))
      const marginLeft = Math.max(48, 24 + 7.5 * short(Math.round(highest)).length)
      const shown = Math.max(1, Math.round((to.getTime() - from.getTime()) / month))
      // With few months the bars would be too wide.
      const inset = Math.max(0.5, ((width - marginLeft) / shown - 48) / 2)
      const bars = { x: 'on', interval: 'month', insetLeft: inset, insetRight: inset } as const
      const axis = Plot.axisX(
        months.map(m => m.on),
        { x: middle, tickSize: 0, tickFormat: (date: Date) => date.toISOString().slice(0, 7), label: null },
      )
      return draw(
        label,
        {
          width,
          height: 270,
          marginTop: 30,
          marginLeft,
          x: { label: null, domain: [from, to], tickSpacing: 70 },
          y: { label: currency, grid: true, tickFormat: short, ticks: 6, nice: true },
        },
        [
          ...(shown <= 6 ? [axis] : []),
          Plot.rectY(booked, { ...bars, y: 'income', fill: income }),
          Plot.rectY(booked, { ...bars, y: m => -(m as Month).expense, fill: expense }),
          Plot.ruleY([0], { stroke: '#111' }),
          Plot.lineY(booked, {
            x: m => middle((m as Month).on),
            y: 'profit',
            stroke: '#111',
            strokeWidth: 1.5,
          }),
          Plot.dot(booked, {
            x: m => middle((m as Month).on),
            y: 'profit',
            fill: '#fff',
            stroke: '#111',
            r: shown > 48 ? 1.2 : 2.5,
          }),
        ],
      )
    },
    bars: (bars, label) =>
      draw(
        label,
        {
          width: 420,
          height: 32 + bars.length * 24,
          marginLeft: 76,
          marginRight: 48,
          marginBottom: 12,
          x: { axis: null },
          y: { label: null, domain: bars.map(({ name }) => name), tickSize: 0 },
        },
        [
          Plot.barX(bars, { x: 'count', y: 'name', fill: income }),
          Plot.text(bars, {
            x: 'count',
            y: 'name',
            text: b => short((b as Bar).count),
            textAnchor: 'start',
            dx: 5,
          }),
          Plot.ruleX([0], { stroke: '#111' }),
        ],
      ),
    days: (days, { from, to }, label) =>
      draw(
        label,
        {
          width: 420,
          height: 200,
          marginLeft: 52,
          x: { label: null, domain: [from, to], tickSpacing: 60 },
          y: {
            label: 'events',
            grid: true,
            tickFormat: short,
            ticks: Math.min(5, Math.max(...days.map(d => d.events))),
            nice: true,
          },
        },
        [
          Plot.rectY(days, { x: 'on', y: 'events', interval: 'day', fill: income, inset: 0 }),
          Plot.ruleY([0], { stroke: '#111' }),
        ],
      ),
  }
}
const month = 30.44 * 86_400_000
const middle = (on: Date) =>
  new Date((on.getTime() + Date.UTC(on.getUTCFullYear(), on.getUTCMonth() + 1, 1)) / 2)

/** A number on an axis: with spaces between thousands, and a proper minus sign. */
const short = (value: number) => {
  const [whole = '', decimals] = String(value).replace(/^-/, '−').split('.')
  return [whole.replace(/\B(?=(\d{3})+$)/g, '\u202f'), ...(decimals === undefined ? [] : [decimals])].join(
    '.',
  )
}

let loaded: Promise<Plots> | undefined
export const plots = () => (loaded ??= load())
