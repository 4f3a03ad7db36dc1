import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  finance_record_of_settlement: {
    status: 409,
    title: 'The finance record is that of a settlement',
    detail: 'A final settlement has entered this record: reopen that instead.',
  },
  finance_category_name_taken: { status: 409, title: 'A category with this name already exists' },
  finance_records_category_exists: {
    status: 409,
    title: 'The category of a record must exist and be of the same kind',
  },
  finance_records_show_exists: { status: 409, title: 'The show of a record must exist' },
  finance_record_external_ref_taken: { status: 409, title: 'A record with this reference already exists' },
  finance_record_status_transition: { status: 409, title: 'The record cannot change to this status' },
  period_closed: { status: 409, title: 'The books of the month are closed' },
  finance_categories_kind_known: { status: 422, title: 'The kind is neither income nor expense' },
  finance_categories_name_length: {
    status: 422,
    title: 'The name is empty, too long or has control characters',
  },
  finance_records_kind_known: { status: 422, title: 'The kind is neither income nor expense' },
  finance_records_booked_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  finance_records_due_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  finance_records_amount_range: { status: 422, title: 'The amount is negative or too large' },
  finance_records_tax_within_amount: { status: 422, title: 'The tax is negative or more than the amount' },
  finance_records_currency_exists: { status: 422, title: 'Unknown currency' },
  finance_records_exchange_rate_needed: {
    status: 422,
    title: 'An amount in another currency needs an exchange rate',
  },
  finance_records_exchange_rate_range: {
    status: 422,
    title: 'The exchange rate is not positive or too large',
  },
  finance_records_exchange_rate_of_base: {
    status: 422,
    title: 'The exchange rate of a currency to itself must be 1',
  },
  finance_records_base_amount_range: { status: 422, title: 'The amount is too large in the base currency' },
  finance_records_status_known: { status: 422, title: 'Unknown status' },
  finance_records_payment_status_known: { status: 422, title: 'Unknown payment status' },
  finance_records_counterparty_length: {
    status: 422,
    title: 'The name is empty, too long or has control characters',
  },
  finance_records_note_length: { status: 422, title: 'The note is too long' },
  finance_records_source_length: {
    status: 422,
    title: 'The source is empty, too long or has control characters',
  },
  finance_records_external_ref_length: {
    status: 422,
    title: 'The reference is empty, too long or has control characters',
  },
  finance_records_external_ref_with_source: {
    status: 422,
    title: 'A reference and a source require each other',
  },
}
