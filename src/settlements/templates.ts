import { type TSchema, Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import {
  Count,
  Currency,
  Id,
  IdParams,
  Line,
  Nullable,
  omittable,
  Patch,
  rowOf,
  Strict,
  Text,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { instant, list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'
import { adjustmentFields } from './adjustments.ts'
import { bonusFields } from './bonuses.ts'
import { dealTerms } from './deals.ts'
import { showCostFields } from './show-costs.ts'
import { problems } from './problems.ts'
import type { ShowPart } from './show-part.ts'
import { ticketTierFields } from './ticket-tiers.ts'

const Name = Line('Club night, 85/15 versus')
const Note = Nullable(Text(1000, 'Our own hall. Costs of this season.'))
const tags = ['settlements']

/** What a template has of a part of a show: see app.template_fields in db/schema/settlements/settlement_templates.sql. */
function partOf({ required, optional }: Pick<ShowPart, 'required' | 'optional'>, title: string) {
  const ofOneShow = [
    'act',
    'withholding_due_on',
    'sold',
    'comps',
    'percentage_bp',
    'tax_bp',
    'promoter_profit_bp',
  ]
  const kept = Object.entries(optional).filter(([name]) => !ofOneShow.includes(name))
  return Strict({ ...required, ...omittable(Object.fromEntries<TSchema>(kept)) }, { title })
}
const many = (fields: Pick<ShowPart, 'required' | 'optional'>, title: string) =>
  Type.Array(partOf(fields, title), { maxItems: 100 })

const required = { name: Name, currency: Currency }
const optional = {
  note: Note,
  deal: {
    ...Nullable(partOf(dealTerms, 'TemplateDeal')),
    description: 'The terms of a deal; null: it is copied to a show that has one',
  },
  ticket_tiers: many(ticketTierFields, 'TemplateTicketTier'),
  costs: many(showCostFields, 'TemplateCost'),
  bonuses: many(bonusFields, 'TemplateBonus'),
  adjustments: many(adjustmentFields, 'TemplateAdjustment'),
}
const Values = Strict({ ...required, ...omittable(optional) }, { title: 'SettlementTemplateValues' })
const Template = rowOf('SettlementTemplate', { ...required, ...optional })
const Copied = Strict(
  {
    deal_id: Id,
    ...Object.fromEntries(
      ['ticket_tiers', 'costs', 'bonuses', 'adjustments'].map(name => [
        name,
        Type.Integer({ ...Count(0, 2), maximum: 100, description: 'How many were copied' }),
      ]),
    ),
  },
  { title: 'CopiedTemplate' },
)
const permissions = of('finance')
/** What entering the parts of a show may refuse. */
const ofParts = Object.keys(problems).filter(name =>
  /^(deals|ticket_tiers|show_costs|deal_bonuses|deal_adjustments)_/.test(name),
)

/** What shows have again and again, to be copied to them. */
const templateRoutes = resource({
  table: 'settlement_templates',
  title: 'SettlementTemplate',
  words: 'settlement template',
  tag: 'settlements',
  path: '/api/settlement-templates',
  permissions,
  item: Template,
  list: {
    rows: list({
      from: 'settlement_template_rows',
      permission: permissions.read,
      bin: permissions.delete,
      item: Template,
      sorts: { name: text, created_at: instant },
    }),
    answers: 'Settlement templates',
    summary: 'List the settlement templates',
    description: 'By name, unless `sort` says otherwise.',
  },
  create: {
    summary: 'Enter a settlement template',
    description:
      'The terms of a deal, ticket tiers, costs, bonuses and adjustments, with the fields that those of a show have. A part that no show could have is refused: the rules are those of the parts themselves.',
    problems: ['settlement_template_name_taken'],
    body: Values,
  },
  read: { summary: 'Read a settlement template', description: 'With its version as `ETag`.' },
  replace: {
    summary: 'Replace a settlement template',
    description: 'Omitted fields get their defaults. No show changes.',
    problems: ['settlement_template_name_taken'],
    body: Values,
  },
  update: {
    summary: 'Change some fields of a settlement template',
    description: 'Omitted fields stay as they are; a list is replaced as a whole. No show changes.',
    problems: ['settlement_template_name_taken'],
    body: Patch(Values, 'SettlementTemplateChange'),
  },
  delete: { summary: 'Delete a settlement template', description: 'It can be restored. No show changes.' },
  restore: {
    summary: 'Restore a deleted settlement template',
    description: 'As it was when it was deleted.',
    problems: ['settlement_template_name_taken'],
  },
})

/** Templates, and how they are made of a show and copied to one. */
export async function settlementTemplateRoutes(app: App) {
  await app.register(templateRoutes)

  app.post(
    '/api/deals/:id/template',
    {
      schema: {
        tags,
        operationId: 'makeSettlementTemplate',
        summary: 'Make a settlement template of a deal',
        description:
          'With its bonuses and adjustments and, of a main deal, the ticket tiers and costs of its show. Costs become estimates, nothing is sold, and merchandise has brought nothing yet.',
        'x-problems': [...constraintsOf('settlement_templates'), 'settlement_template_name_taken'],
        'x-permission': permissions.write,
        params: IdParams,
        headers: IdempotencyKey,
        body: Strict({ name: Name, note: Type.Optional(Note) }, { title: 'NewTemplateOfDeal' }),
        response: { 201: answer('Made', Template, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag, location from app.make_template(${request.params.id}, ${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/shows/:id/copy-template',
    {
      schema: {
        tags,
        operationId: 'copySettlementTemplate',
        summary: 'Copy a settlement template to a show',
        description:
          "All of it or nothing: its deal, if it has one, and its ticket tiers, costs, bonuses and adjustments. A template without a deal is copied to a show that has one, in the same currency. Later changes of the template do not change the show. `act` names another artist than the show's own: ticket tiers and costs, which are of the show, are then left out.",
        'x-problems': [
          'settlement_template_unknown',
          'settlement_needs_deal',
          ...ofParts,
          'settlement_final',
          'shows_fee_range',
        ],
        'x-permission': permissions.write,
        params: IdParams,
        headers: IdempotencyKey,
        body: Strict(
          { template_id: Id, act: Type.Optional(dealTerms.optional.act) },
          { title: 'TemplateToCopy' },
        ),
        response: { 201: answer('Copied', Copied, 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag, location from app.copy_template(${request.params.id}, ${sql.json(request.body)})`,
        )
        .then(reply.json),
  )
}
