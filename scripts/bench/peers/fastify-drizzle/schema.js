import {
  bigint,
  char,
  customType,
  date,
  inet,
  integer,
  jsonb,
  pgSchema,
  text,
  time,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'

const peers = pgSchema('peers')
const at = name => timestamp(name, { withTimezone: true, mode: 'string' })
const money = name => bigint(name, { mode: 'number' })
const bytea = customType({ dataType: () => 'bytea' })

export const user = peers.table('users', {
  id: uuid('id').primaryKey(),
  email: text('email').notNull(),
  displayName: text('display_name').notNull(),
  passwordHash: text('password_hash').notNull(),
})

export const membership = peers.table('memberships', {
  organizationId: uuid('organization_id').notNull(),
  userId: uuid('user_id').notNull(),
  role: text('role').notNull(),
})

export const session = peers.table('sessions', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id').notNull(),
  refreshHash: bytea('refresh_hash').notNull(),
})

export const venue = peers.table('venues', {
  organizationId: uuid('organization_id').notNull(),
  id: uuid('id').notNull(),
  name: text('name').notNull(),
  city: text('city').notNull(),
  timeZone: text('time_zone').notNull(),
})

export const show = peers.table('shows', {
  organizationId: uuid('organization_id').notNull(),
  id: uuid('id').notNull().defaultRandom(),
  title: text('title').notNull(),
  artist: text('artist').notNull(),
  venueId: uuid('venue_id'),
  showOn: date('show_on').notNull(),
  doorsTime: time('doors_time'),
  startTime: time('start_time'),
  curfewTime: time('curfew_time'),
  status: text('status').notNull().default('inquiry'),
  capacity: integer('capacity'),
  ticketsSold: integer('tickets_sold').notNull().default(0),
  feeMinor: money('fee_minor'),
  currency: char('currency', { length: 3 }),
  notes: text('notes'),
  source: text('source'),
  externalRef: text('external_ref'),
  createdBy: uuid('created_by'),
  createdAt: at('created_at').notNull().defaultNow(),
  updatedAt: at('updated_at').notNull().defaultNow(),
  version: integer('version').notNull().default(1),
  deletedAt: at('deleted_at'),
})

export const event = peers.table('event_log', {
  id: uuid('id').primaryKey().defaultRandom(),
  organizationId: uuid('organization_id').notNull(),
  actorId: uuid('actor_id').notNull(),
  action: text('action').notNull(),
  resourceType: text('resource_type').notNull(),
  resourceId: uuid('resource_id').notNull(),
  requestId: text('request_id'),
  ip: inet('ip'),
  changes: jsonb('changes'),
})

export const financeByMonth = peers.table('finance_by_month', {
  organizationId: uuid('organization_id').notNull(),
  month: date('month').notNull(),
  status: text('status').notNull(),
  currency: text('currency').notNull(),
  incomeMinor: money('income_minor'),
  expenseMinor: money('expense_minor'),
  baseIncomeMinor: money('base_income_minor'),
  baseExpenseMinor: money('base_expense_minor'),
  records: money('records').notNull(),
})

const nullable = type => ({ type: [type, 'null'] })
const line = { type: 'string', minLength: 1, maxLength: 200 }
const entered = {
  venue_id: nullable('string'),
  doors_time: nullable('string'),
  start_time: nullable('string'),
  curfew_time: nullable('string'),
  capacity: nullable('integer'),
  fee_minor: nullable('integer'),
  currency: nullable('string'),
  notes: nullable('string'),
}

export const Page = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 200, default: 50 } },
}

export const NewShow = {
  type: 'object',
  additionalProperties: false,
  required: ['title', 'artist', 'show_on'],
  properties: {
    title: line,
    artist: line,
    show_on: { type: 'string', format: 'date' },
    status: { type: 'string', enum: ['inquiry', 'hold', 'offer', 'confirmed'] },
    tickets_sold: { type: 'integer', minimum: 0 },
    ...entered,
  },
}

export const Show = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    title: { type: 'string' },
    artist: { type: 'string' },
    ...entered,
    venue_name: nullable('string'),
    venue_city: nullable('string'),
    time_zone: nullable('string'),
    show_on: { type: 'string' },
    starts_at: nullable('string'),
    status: { type: 'string' },
    tickets_sold: { type: 'integer' },
    source: nullable('string'),
    external_ref: nullable('string'),
    created_by: nullable('string'),
    created_at: { type: 'string' },
    updated_at: { type: 'string' },
  },
}
