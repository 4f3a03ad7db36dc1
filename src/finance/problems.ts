import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  finance_record_of_settlement: {
    status: 409,
    title: 'The finance record is that of a settlement',
    detail: 'A final settlement has entered this record: reopen that instead.',
  },
  finance_record_of_expense: {
    status: 409,
    title: 'The finance record is that of an expense',
    detail: 'An approved expense has entered this record: correct it with a record of its own.',
  },
  expense_receipt_held: {
    status: 409,
    title: 'The receipt must be kept',
    detail: 'The organization has a legal hold, during which nothing is removed for good.',
  },
  finance_category_name_taken: { status: 409, title: 'A category with this name already exists' },
  finance_records_category_exists: {
    status: 409,
    title: 'The category of a record must exist and be of the same kind',
  },
  finance_records_itinerary_exists: { status: 409, title: 'The itinerary of a record must exist' },
  finance_records_show_exists: { status: 409, title: 'The show of a record must exist' },
  finance_record_external_ref_taken: { status: 409, title: 'A record with this reference already exists' },
  finance_record_status_transition: { status: 409, title: 'The record cannot change to this status' },
  budget_lines_itinerary_exists: { status: 409, title: 'The itinerary of a budget line must exist' },
  budget_lines_category_exists: { status: 409, title: 'The category of a budget line must exist' },
  budget_lines_amount_range: { status: 422, title: 'The amount is negative or too large' },
  budget_lines_currency_exists: { status: 422, title: 'Unknown currency' },
  budget_lines_exchange_rate_needed: {
    status: 422,
    title: 'An amount in another currency needs an exchange rate',
  },
  budget_lines_exchange_rate_range: {
    status: 422,
    title: 'The exchange rate is not positive or too large',
  },
  budget_lines_exchange_rate_of_base: {
    status: 422,
    title: 'The exchange rate of a currency to itself must be 1',
  },
  budget_lines_base_amount_range: { status: 422, title: 'The amount is too large in the base currency' },
  budget_lines_note_length: { status: 422, title: 'The note is too long' },
  expense_not_open: {
    status: 409,
    title: 'The expense cannot be changed',
    detail: 'Only a draft, or what was rejected, can be changed, and what is approved stays.',
  },
  expense_not_submitted: { status: 409, title: 'The expense is not submitted' },
  expense_is_own: {
    status: 403,
    title: 'The expense is your own',
    detail: 'Somebody else who holds finance.write decides; you do only while nobody else holds it.',
  },
  expense_exchange_rate_needed: {
    status: 422,
    title: 'An expense in another currency needs an exchange rate',
  },
  receipt_storage_full: {
    status: 409,
    title: 'Receipts and imported files take all the space that there is',
    detail: 'An organization may store 500 MiB: delete receipts, or wait until imports are purged.',
  },
  expense_receipts_type_known: { status: 422, title: 'The file is neither a PDF nor a JPEG nor a PNG' },
  expense_receipts_size: { status: 422, title: 'The file is empty, or has more than 5 MiB' },
  expenses_category_exists: { status: 409, title: 'The category of an expense must exist' },
  expenses_itinerary_exists: { status: 409, title: 'The itinerary of an expense must exist' },
  expenses_spent_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  expenses_amount_range: { status: 422, title: 'The amount is negative or too large' },
  expenses_currency_exists: { status: 422, title: 'Unknown currency' },
  expenses_purpose_length: {
    status: 422,
    title: 'The purpose is empty, too long or has control characters',
  },
  expenses_reason_length: { status: 422, title: 'The reason is empty or too long' },
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
