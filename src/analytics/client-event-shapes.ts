import { Type } from '@sinclair/typebox'

export const ClientEventKind = Type.String({
  title: 'ClientEventKind',
  enum: ['page_view', 'action'],
  examples: ['page_view'],
})
export const ClientEventName = Type.String({
  maxLength: 100,
  pattern: '^[a-z0-9_]+([./-][a-z0-9_]+)*$',
  description: 'Name of the page or action, not a URL with ids in it',
  examples: ['shows/detail'],
})
