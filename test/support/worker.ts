// Runs the test files that suite.ts sends, one after another, and sends back their results as TAP. Loading
// and warming up the program takes two seconds of CPU, which most files do not last.
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import { begin, t } from './tap.ts'

const send = (message: object) =>
  new Promise<unknown>(resolve => {
    process.send?.(message, undefined, undefined, resolve)
  })
// What fails outside of a test fails the file.
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, error => {
    t.threw(error)
  })
process.on('message', (message: string | { late: true }) => {
  // Reports what each test has come to, and which of them have not ended.
  if (typeof message === 'object') t.endAll()
  else void run(message)
})
// One message for all results of a moment: some files have tens of thousands.
let waiting = ''
const flush = async () => {
  const tap = waiting
  waiting = ''
  if (tap !== '') await send({ tap })
}
process.on('exit', () => void flush())
let isRunning = false
process.on('disconnect', () => {
  if (isRunning) process.exit(1)
})
await send({ ready: true })

async function run(name: string): Promise<void> {
  isRunning = true
  const file = begin(name)
  file.on('data', tap => {
    if (waiting === '') setTimeout(() => void flush(), 50)
    waiting += tap
  })
  const ended = once(file, 'end')
  try {
    await import(pathToFileURL(name).href)
  } catch (error) {
    file.threw(error)
  }
  file.end()
  await ended
  await flush()
  isRunning = false
  await send({ done: true })
}
