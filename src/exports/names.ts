import type { Format } from './formats.ts'

/** Whether somebody's file is one of an export: see wanted_export_files in db/schema/exports/export_running.sql. */
export const isKey = (name: string) => /^[0-9a-f-]{36}\/[0-9a-f-]{36}\/[0-9a-f-]{36}$/.test(name)

/** What a file is called where it is saved. */
export const fileName = (resource: string, format: Format, day = new Date().toISOString().slice(0, 10)) =>
  `${resource.replaceAll('_', '-')}-${day}.${format}`
