import { type TObject, type TProperties, Type } from '@sinclair/typebox'
import { Id, omittable, Patch, rowOf, Strict } from '../http/schemas.ts'
import { list, type SortType } from '../tenant/list.ts'
import { of, pluralOf, resource } from '../tenant/resource.ts'

/** One of the tables of an itinerary, and what its routes need. */
export interface Part {
  /** The table in `app`; its path follows from it. */
  table: string
  /** The view with its fields. */
  rows: string
  /** As in operationIds: ScheduleItem. */
  noun: string
  /** As in sentences: a schedule item. */
  words: string
  tag: string
  /** The permission to read it. */
  reading?: string
  /** What it belongs to; set once. */
  parent?: TProperties
  /** Required fields. */
  required: TProperties
  /** Optional fields, as they are in an answer. */
  optional: TProperties
  /** Fields that are only in answers. */
  derived?: TProperties
  /** Filters of the list, besides the bin. */
  filters: Record<string, typeof Id>
  sorts: Record<string, SortType>
  /** Descriptions of listing and creating, each a sentence. */
  listed: string
  created: string
  /** Problems that are not constraints of the table. */
  problems?: string[]
  /** Constraints that a restore may violate. */
  taken?: string[]
}

/** The schema of a row in answers. */
export const detailsOf = ({ noun, parent, required, optional, derived }: Part): TObject =>
  rowOf(noun, { ...parent, ...required, ...optional, ...derived })

const permissionsOf = ({ reading = 'itineraries.write' }: Part) => ({ ...of('itineraries'), read: reading })

/** The list of a part. */
export function listOf(part: Part) {
  const permissions = permissionsOf(part)
  const { rows, sorts, filters } = part
  const item = detailsOf(part)
  return list({ from: rows, permission: permissions.read, bin: permissions.delete, item, sorts, filters })
}

/** The resource of a part. */
export function partOf(part: Part) {
  const { table, noun, words, required, optional, parent } = part
  const noArticle = words.replace(/^an? /, '')
  const rows = listOf(part)
  const problems = part.problems ?? []
  return resource({
    table,
    title: noun,
    words: noArticle,
    tag: part.tag,
    path: `/api/${table.replaceAll('_', '-')}`,
    permissions: permissionsOf(part),
    item: rows.item,
    list: {
      rows,
      answers: 'The list',
      summary: `List ${pluralOf(noArticle)}`,
      description: part.listed,
    },
    create: {
      summary: `Enter ${words}`,
      description: part.created,
      problems,
      body: Strict({ ...parent, ...required, ...omittable(optional) }, { title: `New${noun}` }),
    },
    read: { summary: `Read ${words}`, description: 'As it was last changed.' },
    update: {
      summary: `Change some fields of ${words}`,
      description: 'Omitted fields stay as they are.',
      problems,
      body: Patch(
        Type.Object({ ...(table === 'schedule_items' && parent), ...required, ...optional }),
        `${noun}Change`,
      ),
    },
    delete: {
      summary: `Delete ${words}`,
      description:
        'With everything that belongs to it. It can be restored; until then only the bin shows it.',
    },
    restore: {
      summary: `Restore ${words}`,
      description: 'With exactly what was deleted along with it.',
      problems: [...(parent ? ['parent_deleted'] : []), ...(part.taken ?? [])],
    },
  })
}
