import { Type } from '@sinclair/typebox'
import { Count, Id, omittable, Line, Nullable, rowOf, Strict, Text, Timestamp } from '../http/schemas.ts'
import { instant, list, type SortType, text } from '../tenant/list.ts'

const Status = Type.String({
  title: 'GuestStatus',
  enum: ['requested', 'confirmed', 'declined'],
  description: 'Whether the guest gets in: undecided, yes, or no',
  examples: ['confirmed'],
})
const required = { name: Line('Marta Veld') }
const optional = {
  allotment_id: Type.Union([Id, Type.Null()], {
    description: 'Whose places the guest takes, once confirmed',
    examples: [null],
  }),
  tickets: Type.Integer({
    ...Count(1, 2),
    maximum: 100,
    description: 'How many get in under this name, including the guest',
  }),
  invited_by: Nullable(Line('The Gaslights')),
  note: Nullable(Text(1000, 'Pass at the stage door')),
  status: Status,
  sort_name: Nullable(
    Type.String({
      ...Line('Veld, Marta'),
      description: 'Where the door list shows the guest, if not under the last word of the name',
    }),
  ),
}
export const GuestValues = Strict({ ...required, ...omittable(optional) }, { title: 'GuestValues' })
export const Guest = rowOf('Guest', {
  show_id: Id,
  ...required,
  door_name: Type.String({
    ...Line('Veld, Marta'),
    description: 'What the door list is sorted by',
  }),
  ...optional,
  allotment_name: Nullable(Line('The Gaslights')),
  checked_in: Type.Integer({ ...Count(0, 0), maximum: 100, description: 'How many of them are in' }),
  checked_in_at: Nullable(Timestamp),
})
const sorts: Record<string, SortType> = { door_name: text, name: text, created_at: instant }
const source = {
  from: 'guest_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: Guest,
  sorts,
}
const filters = { status: Status, allotment_id: Id }
export const guests = list({ ...source, filters })
/** The guests of all shows, for exports; as on the door list. */
export const exportedGuests = list({ ...source, filters: { show_id: Id, ...filters } })
