// Runs compiled test files, several at a time, and prints the results as TAP. tap's own runner does the
// same, but instruments each process with module hooks: 1.3 seconds of CPU per file on Node 20, for a
// coverage report that c8 makes here.
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
  // tap puts its hooks into NODE_OPTIONS.
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', name], {
    name,
    at: null,
    stack: '',
    buffered: t.jobs > 1,
    timeout: Number(values.timeout) * 1000,
  })
