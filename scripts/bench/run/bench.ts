// `npm run bench` measures how fast Callboard is, compared with PostgreSQL alone and with what a team might write
// instead. It creates its own database and servers; docs/explain/performance.md explains it and has the latest figures.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { beside } from './beside.ts'
import { compare } from './compare.ts'
import { say, startServer } from '../data/database.ts'
import { grow } from './grow.ts'
import { readOptions } from './options.ts'
import { publish } from '../report/publish.ts'
import { soak } from './soak.ts'
import type { Undo } from './fixtures.ts'

const options = readOptions()
const undo: Undo = []
const takeDown = async () => {
  for (const step of undo.splice(0).reverse())
    await step().catch((error: unknown) => {
      say(String(error))
    })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void takeDown().then(() => process.exit(130))
  })

try {
  const server = await startServer()
  undo.push(() => server.stop())
  const { soak: minutes, organizations, beside: others } = options
  const run =
    minutes !== undefined
      ? soak
      : organizations !== undefined
        ? grow
        : others !== undefined
          ? beside
          : compare
  const outcome = await run(server, options, undo)
  const { report, text, faults } = outcome
  await mkdir(dirname(options.json), { recursive: true })
  await writeFile(
    options.json,
    `${JSON.stringify({ made: new Date().toISOString(), options, ...report }, null, 2)}\n`,
  )
  if (options.publish) await publish(outcome)
  console.log(text)
  for (const fault of faults) say(fault)
  if (faults.length > 0) process.exitCode = 1
} finally {
  await takeDown()
}
