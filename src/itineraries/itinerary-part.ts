import { type TObject, type TProperties, Type } from '@sinclair/typebox'
import { Id, leftOut, Patch, rowOf, Strict } from '../http/schemas.ts'
import { list, type SortType } from '../tenant/list.ts'
import { of, pluralOf, resource } from '../tenant/resource.ts'

/** One of the tables that an itinerary consists of, and what its routes are like. */
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
  /** Permission to read it. */
  reading?: string
  /** What it belongs to; said once. */
  parent?: TProperties
  /** Fields that must be given. */
  required: TProperties
  /** Fields that may be left out, as they are in an answer. */
  optional: TProperties
  /** Fields that only an answer has. */
  derived?: TProperties
  /** Filters of the list, besides the bin. */
  filters: Record<string, typeof Id>
  sorts: Record<string, SortType>
  /** What the list and the making of one are about, each a sentence. */
  listed: string
  created: string
  /** Problems that are not constraints of the table. */
  problems?: string[]
  /** Constraints that a restoration may meet. */
  taken?: string[]
}

/** What a row looks like in answers. */
export const detailsOf = ({ noun, parent, required, optional, derived }: Part): TObject =>
  rowOf(noun, { ...parent, ...required, ...optional, ...derived })

/** The resource of a part. */
export function partOf(part: Part) {
  const {
    table,
    noun,
    words,
    required,
    optional,
    parent,
    filters,
    sorts,
    reading = 'itineraries.write',
  } = part
  const noArticle = words.replace(/^an? /, '')
  const item = detailsOf(part)
  const problems = part.problems ?? []
  const permissions = { ...of('itineraries'), read: reading }
  return resource({
    table,
    title: noun,
    words: noArticle,
    tag: part.tag,
    path: `/api/${table.replaceAll('_', '-')}`,
    permissions,
    item,
    list: {
      rows: list({ from: part.rows, permission: reading, bin: permissions.delete, item, sorts, filters }),
      answers: 'The list',
      summary: `List ${pluralOf(noArticle)}`,
      description: part.listed,
    },
    create: {
      summary: `Enter ${words}`,
      description: part.created,
      problems,
      body: Strict({ ...parent, ...required, ...leftOut(optional) }, { title: `New${noun}` }),
    },
    read: { summary: `Read ${words}`, description: 'As it was last changed.' },
    update: {
      summary: `Change some fields of ${words}`,
      description: 'What the body does not name stays as it is.',
      problems,
      body: Patch(
        Type.Object({ ...(table === 'schedule_items' && parent), ...required, ...optional }),
        `${noun}Change`,
      ),
    },
    delete: {
      summary: `Delete ${words} until it is restored`,
      description: 'With everything that belongs to it. Nothing shows it until then but the bin.',
    },
    restore: {
      summary: `Bring back ${words} that was deleted`,
      description: 'With exactly what was deleted together with it.',
      problems: [...(parent ? ['parent_deleted'] : []), ...(part.taken ?? [])],
    },
  })
}
