/** The style of the report, on screen and on A4. */
export const style = `
:root { color-scheme: light; font: 11pt/1.4 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; border-bottom: 2px solid #111 }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
p { margin: .2rem 0 }
.fresh { color: #444; font-size: .9rem }
.stale { font-weight: 600; color: #111 }
figure { margin: .6rem 0 }
figcaption { color: #444; font-size: .9rem }
.beside { display: grid; grid-template-columns: 3fr 2fr; gap: 1.5rem; align-items: start }
.plot { display: block; width: 100%; height: auto; background: #fff; font-size: 11px }
.plot text { white-space: pre }
table { width: 100%; border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; margin: .6rem 0 }
caption { text-align: left; color: #444; font-size: .9rem }
th, td { padding: .2rem 0 .2rem .8rem; border-bottom: 1px solid #bbb; text-align: right; vertical-align: top }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: nowrap }
thead th { border-bottom: 1px solid #111; vertical-align: bottom }
tbody th { font-weight: normal }
.total th, .total td { border-top: 1px solid #111; font-weight: 600 }
td { white-space: nowrap }
@media (max-width: 40rem) { .beside { display: block } .wide { overflow-x: auto } }
@page { size: A4; margin: 15mm }
@media print {
  :root { font-size: 9.5pt }
  body { margin: 0; max-width: none; padding: 0 }
  thead { display: table-header-group }
  tr, figure, .beside, .fresh { break-inside: avoid }
  h1, h2, h3, caption { break-after: avoid }
  .whole { break-inside: avoid }
}
`
