import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { misuse, readArguments } from '../../../src/arguments.ts'
import { peers } from '../peers/peers.ts'
import { hasPgbench } from '../measure/pgbench.ts'
import { type Size, sizes } from '../data/sizes.ts'
import { procedures, works } from './works.ts'

export interface Options {
  size: Size
  rounds: number
  seconds: number
  warmUp: number
  connections: number
  pool: number
  people: number
  /** Whether a work or a contender is to be measured. */
  wants: (thing: { name: string }) => boolean
  asker: 'pgbench' | 'loop'
  keep: boolean
  /** Minutes. */
  soak: number | undefined
  organizations: number[] | undefined
  /** The folders of other checkouts. */
  beside: string[] | undefined
  /** How many lines the imported file has. */
  lines: number
  json: string
  /** Whether the figures go into docs/explain/performance.md. */
  publish: boolean
}

const workNames = [...works, ...procedures].map(({ name }) => name)
const contenderNames = ['limit', 'no-rls', 'unsigned', 'callboard', ...peers.map(({ name }) => name)]

const usage = `Usage: npm run bench -- [--small] [--rounds 5] [--seconds 5] [--only list,one,callboard] …

  --small                50 organizations and 10,000 shows instead of 1,000 and 1,000,000
  --rounds <n>           how many times everything is measured (5)
  --seconds <n>          length of each measurement (5), after --warm-up <n> seconds (2) that do not count
  --only <a,b>           only these works or contenders
  --without <a,b>        everything but these
  --connections <n>      requests at a time (32)
  --pool <n>             database connections of each server, and of the limit (10)
  --people <n>           how many users send requests (40), one in ten of them from the largest organization
  --loop                 measure PostgreSQL alone with a built-in loop, even if pgbench is installed
  --soak <minutes>       Callboard alone under full load, watching its memory
  --organizations <a,b>  compare the cost of requests with a and with b organizations of 100 shows each
  --beside <a,b>         compare with other checkouts of Callboard in turns; . is this one, for the noise
  --lines <n>            length of the file that is imported (20000)
  --keep                 keep and migrate the existing database, even if the schema has changed
  --publish              write the figures and the picture of docs/explain/performance.md
  --json <file>          where the figures go (.data/bench.json)

Works: ${workNames.join(', ')}. Contenders: ${contenderNames.join(', ')}.
DATABASE_URL selects another server, and POSTGREST another PostgREST binary: see docs/explain/performance.md.`

/** Parses the command line; prints the usage and exits if it is invalid. */
export function readOptions(): Options {
  const { values } = readArguments(usage, {
    small: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    'warm-up': { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    without: { type: 'string', default: '' },
    connections: { type: 'string', default: '32' },
    pool: { type: 'string', default: '10' },
    people: { type: 'string', default: '40' },
    loop: { type: 'boolean', default: false },
    soak: { type: 'string' },
    organizations: { type: 'string' },
    beside: { type: 'string' },
    lines: { type: 'string', default: '20000' },
    keep: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    json: { type: 'string', default: '.data/bench.json' },
  })
  try {
    if ([values.soak, values.organizations, values.beside].filter(value => value !== undefined).length > 1)
      throw new Error('--soak, --organizations and --beside are runs of their own: choose one')
    return {
      size: values.small ? sizes.small : sizes.full,
      rounds: number(values.rounds),
      seconds: number(values.seconds),
      warmUp: number(values['warm-up']),
      connections: number(values.connections),
      pool: number(values.pool),
      people: number(values.people),
      wants: chosen(names(values.only), names(values.without)),
      asker: values.loop || !hasPgbench() ? 'loop' : 'pgbench',
      keep: values.keep,
      soak: values.soak === undefined ? undefined : number(values.soak),
      organizations: values.organizations?.split(',').map(number),
      beside: values.beside?.split(',').map(checkout),
      lines: number(values.lines),
      json: values.json,
      publish: values.publish,
    }
  } catch (error) {
    misuse(usage, (error as Error).message)
  }
}

function number(text: string): number {
  if (!(Number(text) > 0)) throw new Error(`"${text}" is not a number above 0`)
  return Number(text)
}

function checkout(path: string): string {
  if (!existsSync(join(path, 'node_modules')) || !existsSync(join(path, 'package.json')))
    throw new Error(`"${path}" is not a checkout of Callboard with its packages (npm ci)`)
  // Roles belong to a whole server, and each checkout has its own.
  if (process.env['DATABASE_URL']) throw new Error('--beside starts its own servers: unset DATABASE_URL')
  return resolve(path)
}

function names(text: string): string[] {
  const given = text.split(',').filter(name => name !== '')
  for (const name of given)
    if (!workNames.includes(name) && !contenderNames.includes(name))
      throw new Error(`There is no work or contender "${name}"`)
  return given
}

/** Works and contenders are selected independently: naming only works keeps all contenders. */
function chosen(only: string[], without: string[]): Options['wants'] {
  return ({ name }) => {
    const among = (workNames.includes(name) ? workNames : contenderNames).filter(known =>
      only.includes(known),
    )
    return !without.includes(name) && (among.length === 0 || among.includes(name))
  }
}

/** How it is measured, in the words of docs/explain/performance.md. */
export const howOf = ({ rounds, seconds, warmUp, connections, pool, asker }: Options) =>
  `Medians of ${rounds} rounds of ${seconds} s after ${warmUp} s of warming up, ${connections} requests at a time, ${pool} database connections, PostgreSQL alone asked by ${asker === 'pgbench' ? 'pgbench' : 'a loop over the protocol'}`
