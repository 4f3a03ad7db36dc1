import { readFileSync } from 'node:fs'

const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8')

/** The version of this program, from package.json. */
export const { version } = JSON.parse(file) as { version: string }
