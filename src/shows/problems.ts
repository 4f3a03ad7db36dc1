import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  show_status_transition: { status: 409, title: 'The show cannot take this status now' },
  shows_venue_exists: { status: 409, title: 'The show and the venue do not go together' },
  show_external_ref_taken: { status: 409, title: 'There is a show of this reference' },
  venues_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  venues_city_length: { status: 422, title: 'The city is empty, too long or has control characters' },
  venues_country_format: { status: 422, title: 'The country is not an ISO 3166-1 code' },
  venues_time_zone_exists: { status: 422, title: 'There is no such time zone' },
  venues_capacity_positive: { status: 422, title: 'The capacity must be positive' },
  shows_title_length: { status: 422, title: 'The title is empty, too long or has control characters' },
  shows_artist_length: { status: 422, title: 'The artist is empty, too long or has control characters' },
  shows_show_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  shows_status_known: { status: 422, title: 'There is no such status' },
  shows_capacity_positive: { status: 422, title: 'The capacity must be positive' },
  shows_tickets_sold_positive: { status: 422, title: 'The number of tickets sold cannot be negative' },
  shows_fee_range: { status: 422, title: 'The fee is negative or too large' },
  shows_currency_format: { status: 422, title: 'The currency is not an ISO 4217 code' },
  shows_notes_length: { status: 422, title: 'The notes are too long' },
  shows_source_length: { status: 422, title: 'The source is empty, too long or has control characters' },
  shows_external_ref_length: {
    status: 422,
    title: 'The reference is empty, too long or has control characters',
  },
  shows_external_ref_with_source: {
    status: 422,
    title: 'A reference needs a source, and a source a reference',
  },
  shows_doors_before_start: { status: 422, title: 'Doors cannot open after the start' },
  shows_tickets_within_capacity: { status: 422, title: 'More tickets are sold than there are places' },
  shows_fee_with_currency: { status: 422, title: 'A fee needs a currency, and a currency a fee' },
}
