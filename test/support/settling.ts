import { type Answer, aShow, type TestServer } from './helper.ts'

/** Lines of a settlement, without _minor. */
export type Amounts = Record<string, number>
interface Line {
  id: string
}
export interface Draft {
  show_id: string
  deal_id: string
  act: string | null
  inputs: { currency: string; deal: Line } & Record<
    'ticket_tiers' | 'costs' | 'deposits' | 'bonuses' | 'adjustments',
    Line[]
  >
  result: Record<string, number>
}
/** A line of a sheet. */
export interface SheetLine {
  key: string
  section: string
  name: string
  formula: string
  amount_minor: number
  is_total: boolean
  budget_minor: number | null
  over_budget_minor: number | null
}
export interface Recorded extends Draft {
  id: string
  number: number
  status: string
}

/** What tests of settlements do, as a person. */
export function settling({ call }: TestServer, token: string) {
  /** Creates something under a path, and returns its id. */
  const make = async (path: string, body: object): Promise<string> => {
    const answer = await call<{ id: string }>(`POST /api/${path}`, { token, body })
    if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`)
    return answer.body.id
  }
  const of = (deal?: string) => (deal === undefined ? '' : `?deal_id=${deal}`)
  return {
    make,
    /** A show with parts, each as the path under it and the body. */
    showWith: async (parts: [path: string, body: object][], status = 'played') => {
      const show = await make('shows', { ...aShow, status })
      for (const [path, body] of parts) await make(`shows/${show}/${path}`, body)
      return show
    },
    /** The lines of the sheet as it is now. */
    linesOf: async (show: string, deal?: string) =>
      (
        await call<{ result: { lines: SheetLine[] } }>(`GET /api/shows/${show}/settlement${of(deal)}`, {
          token,
        })
      ).body.result.lines,
    /** A show of 500 tickets at 30.00 with a fee of 2.00, costs of 4,000 and of 0.80 a ticket, and the deal. */
    show500: async (deal: object, fixed = 400_000, status = 'played') => {
      const show = await make('shows', { ...aShow, status })
      await make(`shows/${show}/deals`, deal)
      const tier = { name: 'Standing', price_minor: 3000, facility_fee_minor: 200, allotment: 600, sold: 500 }
      await make(`shows/${show}/ticket-tiers`, tier)
      await make(`shows/${show}/costs`, { name: 'Production', kind: 'fixed', amount_minor: fixed })
      await make(`shows/${show}/costs`, { name: 'Ticketing', kind: 'per_ticket', amount_minor: 80 })
      return show
    },
    draft: (show: string, deal?: string) =>
      call<Draft>(`GET /api/shows/${show}/settlement${of(deal)}`, { token }),
    record: (show: string, reason: string | null = null, deal_id?: string): Promise<Answer<Recorded>> =>
      call<Recorded>(`POST /api/shows/${show}/settlements`, {
        token,
        body: { reason, ...(deal_id !== undefined && { deal_id }) },
      }),
    finalize: (id: string) => call<Recorded>(`POST /api/settlements/${id}/finalize`, { token }),
    reopen: (show: string, reason: string, deal_id?: string) =>
      call(`POST /api/shows/${show}/settlement/reopen`, {
        token,
        body: { reason, ...(deal_id !== undefined && { deal_id }) },
      }),
    statusOf: async (show: string) => (await call(`GET /api/shows/${show}`, { token })).body['status'],
  }
}
