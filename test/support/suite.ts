// Runs compiled test files, several at a time, and prints what they come to as TAP. tap's own runner does the
// same, but watches each process through module hooks: 1.3 seconds of CPU for each file on Node 20, for a report
// on coverage that c8 makes here.
import { parseArgs } from 'node:util'
import t from 'tap'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string' }, timeout: { type: 'string' } },
})
process.env['TAP_TIMEOUT'] = values.timeout
t.jobs = Number(values.jobs)
t.setTimeout(0)
t.plan(positionals.length)
for (const name of positionals)
  // tap would have its hooks in NODE_OPTIONS.
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', name], {
    name,
    at: null,
    stack: '',
    buffered: t.jobs > 1,
    timeout: Number(values.timeout) * 1000,
  })
