// Which subject a table, a view or a function belongs to: the folder of db/schema/ that creates it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const creates =
  /\bcreate\s+(?:or\s+replace\s+)?(?:(?:materialized\s+)?view|table|function)\s+(?:if\s+not\s+exists\s+)?([a-z_]+\.[a-z_0-9]+)/g
/** What registering a figure makes of its definition (db/schema/analytics/rollups.sql). */
const ofFigures = /^(analytics_private\.[a-z_0-9]+?)(?:_recent|_now)?$/

export interface Subjects {
  /** In the order of db/schema.sql. */
  names: string[]
  /** The subject of an object and the file that creates it, such as `shows/venues.sql`. */
  origin(object: string): { subject: string; file: string }
}

/** Reads the folder `db/`. */
export function readSubjects(db: string): Subjects {
  const included = readFileSync(join(db, 'schema.sql'), 'utf8').matchAll(/^--!include (([a-z_]+)\/\S+)$/gm)
  const names = new Set<string>()
  const files = new Map<string, string>()
  for (const [, file = '', subject = ''] of included) {
    names.add(subject)
    for (const [, object = ''] of readFileSync(join(db, 'schema', file), 'utf8').matchAll(creates))
      if (!files.has(object)) files.set(object, file)
  }
  for (const { name } of readdirSync(join(db, 'schema'), { withFileTypes: true }).filter(e =>
    e.isDirectory(),
  ))
    if (!names.has(name)) throw new Error(`db/schema.sql includes nothing of db/schema/${name}`)
  return {
    names: [...names],
    origin(object) {
      const file = files.get(object) ?? files.get(`${ofFigures.exec(object)?.[1]}_definition`)
      if (file === undefined) throw new Error(`No file in db/schema/ creates ${object}`)
      return { subject: file.slice(0, file.indexOf('/')), file }
    },
  }
}
