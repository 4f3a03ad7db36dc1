import type { Format } from './formats.ts'

/** Whether a file is one of an export: see wanted_export_files in db/schema/exports/export_running.sql. */
export const isKey = (name: string) => /^[0-9a-f-]{36}\/[0-9a-f-]{36}\/[0-9a-f-]{36}$/.test(name)

/** The name under which a file is saved. */
export const fileName = (resource: string, format: Format, day = new Date().toISOString().slice(0, 10)) =>
  `${resource.replaceAll('_', '-')}-${day}.${format}`
