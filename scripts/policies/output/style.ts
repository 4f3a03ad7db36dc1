/** The style of the page: for a screen, and for paper. */
export const style = `
:root { color-scheme: light; --line: #c9ced6; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; }
h2 { margin: 2rem 0 .5rem; border-bottom: 2px solid #111; font-size: 1.2rem; }
h3 { margin: 1.2rem 0 .3rem; font-size: 1rem; }
p, ul { margin: .3rem 0; }
code { font: .86em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.finding { margin: .6rem 0; border-left: 5px solid var(--line); padding: .1rem .8rem; break-inside: avoid; }
.dangerous { border-color: #a4161a; } .to-be-reviewed { border-color: #b35c00; }
.breaking { border-color: #1f5f99; } .safe { border-color: #2d6a4f; }
.kind { font-weight: 700; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { border: 1px solid var(--line); padding: .15rem .4rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: #f1f3f6; }
td.cell { text-align: center; white-space: nowrap; }
td.wrong { background: #a4161a; color: #fff; font-weight: 700; }
td.wrong a { color: #fff; } td.own { background: #dcefe3; } td.nothing { background: #fff6df; }
td a { color: inherit; }
section.table { display: none; margin: 1rem 0; border: 2px solid #111; padding: .5rem 1rem; }
section.table:target { display: block; }
@media print { body { max-width: none; padding: 0; font-size: 10px; } section.table { display: block; border-width: 1px; break-inside: avoid; } thead { display: table-header-group; } thead th { position: static; } }
`
