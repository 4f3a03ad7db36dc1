import { type TSchema, Type } from '@sinclair/typebox'
import { Id, omittable, Patch, rowOf, Strict } from '../http/schemas.ts'
import { list, type SortType } from '../tenant/list.ts'
import { of, pluralOf, resource } from '../tenant/resource.ts'

/** A part of a show that counts in its settlement: see db/schema/settlements/show_parts.sql. */
export interface ShowPart {
  /** The last step of the path under a show, and the first of its own. */
  path: string
  table: string
  /** The view with its fields. */
  rows: string
  /** In the names of schemas and operations: Deal, createDeal, listDeals. */
  title: string
  /** In sentences: deal, deals. */
  word: string
  required: Record<string, TSchema>
  optional: Record<string, TSchema>
  /** The list is sorted by the first one unless the request says otherwise. */
  sorts: Record<string, SortType>
  /** The column of the view that a sort goes by, if it is another one. */
  by?: Record<string, string>
  /** What to know when entering one. */
  description: string
  problems?: string[]
}

/** The deal that a part belongs to. */
export const dealOfPart = Type.Union([Id, Type.Null()], {
  description: 'A deal of the same show; null: the main deal',
  examples: [null],
})

/** The resource of one kind of part. Parts from which a final settlement was computed cannot be changed. */
export function showPart(part: ShowPart) {
  const { path, table, title, word, required, optional, sorts, by = {}, problems = [] } = part
  const Values = Strict({ ...required, ...omittable(optional) }, { title: `${title}Values` })
  const item = rowOf(title, { show_id: Id, ...required, ...optional })
  const permissions = of('finance')
  const refusals = [...problems, 'settlement_final']
  return resource({
    table,
    title,
    words: word,
    tag: 'settlements',
    path: `/api/${path}`,
    under: `/api/shows/:id/${path}`,
    parent: 'show_id',
    permissions,
    item,
    list: {
      rows: list({ from: part.rows, permission: permissions.read, bin: permissions.delete, item, sorts, by }),
      answers: `The ${pluralOf(word)}`,
      summary: `List the ${pluralOf(word)} of a show`,
      description: `By \`${Object.keys(sorts)[0] ?? ''}\`, unless \`sort\` says otherwise.`,
    },
    create: {
      summary: `Enter a ${word}`,
      description: part.description,
      problems: [...refusals, 'parent_deleted'],
      body: Values,
    },
    read: { summary: `Read a ${word}`, description: 'With its version as `ETag`.' },
    replace: {
      summary: `Replace a ${word}`,
      description: 'Omitted fields get their defaults.',
      problems: refusals,
      body: Values,
    },
    update: {
      summary: `Change some fields of a ${word}`,
      description: 'Omitted fields stay as they are.',
      problems: refusals,
      body: Patch(Values, `${title}Change`),
    },
    delete: {
      summary: `Delete a ${word}`,
      description: 'It can be restored; until then no list or settlement contains it.',
      problems: ['settlement_final'],
    },
    restore: {
      summary: `Restore a deleted ${word}`,
      description: 'As it was when it was deleted. If its show has been deleted since, restore that first.',
      problems: [...new Set(['parent_deleted', 'settlement_final', 'deals_currency_in_use', ...problems])],
    },
  })
}
