import { parseArgs } from 'node:util'
import { type Size, sizes } from './sizes.ts'

export interface Options {
  size: Size
  rounds: number
  seconds: number
  warmUp: number
  connections: number
  pool: number
  people: number
  only: string[] | undefined
  without: string[]
  keep: boolean
  json: string
}

const usage = `npm run bench -- [--small] [--rounds 5] [--seconds 5] [--only list,one] …

  --small            50 organizations and 10,000 shows instead of 1,000 and 1,000,000
  --rounds <n>       how often everything is measured (5)
  --seconds <n>      how long each measurement takes (5), after --warm-up <n> (2) that does not count
  --only <a,b>       only these works, or contenders, by the names in the table
  --without <a,b>    everything but these
  --connections <n>  requests at a time (32)
  --pool <n>         database connections of each server, and of the limit (10)
  --people <n>       how many people ask (40), one in ten of the organization that has a tenth of all
  --keep             use the database that is there though the schema is another one: only migrate it
  --json <file>      where the figures go (.data/bench.json)`

/** What the command line asks for; ends the process with the usage if that is nothing known. */
export function readOptions(args: string[]): Options {
  const number = (text: string | undefined, otherwise: number) => {
    const value = text === undefined ? otherwise : Number(text)
    if (!(value > 0)) throw new Error(`${text} is no number above 0`)
    return value
  }
  try {
    const { values } = parseArgs({
      args,
      options: {
        small: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string' },
        only: { type: 'string' },
        without: { type: 'string' },
        connections: { type: 'string' },
        pool: { type: 'string' },
        people: { type: 'string' },
        keep: { type: 'boolean', default: false },
        json: { type: 'string', default: '.data/bench.json' },
      },
    })
    return {
      size: values.small ? sizes.small : sizes.full,
      rounds: number(values.rounds, 5),
      seconds: number(values.seconds, 5),
      warmUp: number(values['warm-up'], 2),
      connections: number(values.connections, 32),
      pool: number(values.pool, 10),
      people: number(values.people, 40),
      only: values.only?.split(','),
      without: values.without?.split(',') ?? [],
      keep: values.keep,
      json: values.json,
    }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`)
    process.exit(2)
  }
}
