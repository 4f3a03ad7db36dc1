import { readFileSync } from 'node:fs'
import { root } from './root.ts'

const file = readFileSync(new URL('package.json', root), 'utf8')

/** The version of this program, from package.json. */
export const { version } = JSON.parse(file) as { version: string }
