import process from 'node:process'
import { DataSource, EntitySchema } from 'typeorm'

const column = (name, type, more = {}) => ({ name, type, ...more })
const optional = (name, type) => column(name, type, { nullable: true })
// pg returns a bigint as text, because it may exceed the range of a number.
const money = (name, more = {}) =>
  column(name, 'bigint', {
    transformer: { from: value => (value === null ? null : Number(value)), to: value => value },
    ...more,
  })

export const User = new EntitySchema({
  name: 'User',
  schema: 'peers',
  tableName: 'users',
  columns: {
    id: column('id', 'uuid', { primary: true }),
    email: column('email', 'text'),
    displayName: column('display_name', 'text'),
    passwordHash: column('password_hash', 'text'),
  },
})

export const Membership = new EntitySchema({
  name: 'Membership',
  schema: 'peers',
  tableName: 'memberships',
  columns: {
    organizationId: column('organization_id', 'uuid', { primary: true }),
    userId: column('user_id', 'uuid', { primary: true }),
    role: column('role', 'text'),
  },
})

export const Session = new EntitySchema({
  name: 'Session',
  schema: 'peers',
  tableName: 'sessions',
  columns: {
    id: column('id', 'uuid', { primary: true, generated: 'uuid' }),
    userId: column('user_id', 'uuid'),
    refreshHash: column('refresh_hash', 'bytea'),
  },
})

export const Venue = new EntitySchema({
  name: 'Venue',
  schema: 'peers',
  tableName: 'venues',
  columns: {
    organizationId: column('organization_id', 'uuid', { primary: true }),
    id: column('id', 'uuid', { primary: true }),
    name: column('name', 'text'),
    city: column('city', 'text'),
    timeZone: column('time_zone', 'text'),
    deletedAt: optional('deleted_at', 'timestamptz'),
  },
})

export const Show = new EntitySchema({
  name: 'Show',
  schema: 'peers',
  tableName: 'shows',
  columns: {
    organizationId: column('organization_id', 'uuid', { primary: true }),
    id: column('id', 'uuid', { primary: true, generated: 'uuid' }),
    title: column('title', 'text'),
    artist: column('artist', 'text'),
    venueId: optional('venue_id', 'uuid'),
    showOn: column('show_on', 'date'),
    doorsTime: optional('doors_time', 'time'),
    startTime: optional('start_time', 'time'),
    curfewTime: optional('curfew_time', 'time'),
    status: column('status', 'text'),
    capacity: optional('capacity', 'integer'),
    ticketsSold: column('tickets_sold', 'integer'),
    feeMinor: money('fee_minor', { nullable: true }),
    currency: optional('currency', 'char'),
    notes: optional('notes', 'text'),
    source: optional('source', 'text'),
    externalRef: optional('external_ref', 'text'),
    createdBy: optional('created_by', 'uuid'),
    createdAt: column('created_at', 'timestamptz', { createDate: true }),
    updatedAt: column('updated_at', 'timestamptz', { updateDate: true }),
    version: column('version', 'integer', { version: true }),
    deletedAt: optional('deleted_at', 'timestamptz'),
  },
  relations: {
    venue: {
      type: 'many-to-one',
      target: 'Venue',
      joinColumn: [
        { name: 'organization_id', referencedColumnName: 'organizationId' },
        { name: 'venue_id', referencedColumnName: 'id' },
      ],
    },
  },
})

export const Event = new EntitySchema({
  name: 'Event',
  schema: 'peers',
  tableName: 'event_log',
  columns: {
    id: column('id', 'uuid', { primary: true, generated: 'uuid' }),
    organizationId: column('organization_id', 'uuid'),
    actorId: column('actor_id', 'uuid'),
    action: column('action', 'text'),
    resourceType: column('resource_type', 'text'),
    resourceId: column('resource_id', 'uuid'),
    requestId: optional('request_id', 'text'),
    ip: optional('ip', 'inet'),
    changes: optional('changes', 'jsonb'),
  },
})

export const FinanceByMonth = new EntitySchema({
  name: 'FinanceByMonth',
  schema: 'peers',
  tableName: 'finance_by_month',
  columns: {
    organizationId: column('organization_id', 'uuid', { primary: true }),
    month: column('month', 'date', { primary: true }),
    status: column('status', 'text', { primary: true }),
    currency: column('currency', 'text', { primary: true }),
    income_minor: money('income_minor', { nullable: true }),
    expense_minor: money('expense_minor', { nullable: true }),
    base_income_minor: money('base_income_minor', { nullable: true }),
    base_expense_minor: money('base_expense_minor', { nullable: true }),
    records: money('records'),
  },
})

export const database = new DataSource({
  type: 'postgres',
  url: process.env.DATABASE_URL,
  poolSize: Number(process.env.POOL_SIZE),
  entities: [User, Membership, Session, Venue, Show, Event, FinanceByMonth],
})
