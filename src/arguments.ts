import { parseArgs, type ParseArgsConfig } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>
type Config<O extends Options> = { options: O; allowPositionals: true }

/**
 * The arguments of a program. `--help` prints the usage and ends it with 0; an option that it does not take, a missing
 * value or one argument too many ends it with 2.
 */
export function readArguments<const O extends Options>(
  usage: string,
  options: O,
  most = 0,
): ReturnType<typeof parseArgs<Config<O>>> {
  // Before anything is parsed, so that it helps with a wrong command line, too. After --, it is a value.
  const given = process.argv.slice(2)
  const end = given.indexOf('--')
  if (
    given.slice(0, end < 0 ? undefined : end).some(argument => argument === '--help' || argument === '-h')
  ) {
    console.log(usage)
    process.exit(0)
  }
  try {
    const found = parseArgs<Config<O>>({ options, allowPositionals: true })
    const extra = found.positionals[most]
    if (extra !== undefined) throw new Error(`Unexpected argument '${extra}'`)
    return found
  } catch (error) {
    misuse(usage, (error as Error).message)
  }
}

/** Ends the program because of how it was called: says why, if that is not obvious, and how it is called. */
export function misuse(usage: string, why?: string): never {
  process.stderr.write(`${why === undefined ? '' : `${why}\n\n`}${usage}\n`)
  process.exit(2)
}
