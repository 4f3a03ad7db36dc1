-- Currencies (ISO 4217). The number of decimals depends on the currency; amounts are stored in the
-- smallest unit.

create or replace function app.minor_digits(currency text) returns integer
language sql immutable strict parallel safe
return case
  when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') then 0
  when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
  when currency in ('CLF', 'UYW') then 4
  else 2 end;
comment on function app.minor_digits(text) is 'Decimals of a currency by its ISO 4217 code: EUR 2, JPY 0, KWD 3. 2 for an unknown code.';
grant execute on function app.minor_digits(text) to callboard_api, callboard_definer;

create table if not exists app.currencies (
  code char(3) primary key,
  name text collate app.people not null,
  minor_digits integer not null
);
select app_private.reference_table('app.currencies');
comment on table app.currencies is 'Reference: the ISO 4217 currencies in which money is recorded.';

insert into app.currencies (code, name, minor_digits)
select c.code, c.name, app.minor_digits(c.code) from (values
  ('AED', 'UAE dirham'), ('AFN', 'Afghani'), ('ALL', 'Lek'), ('AMD', 'Armenian dram'), ('AOA', 'Kwanza'), ('ARS', 'Argentine peso'),
  ('AUD', 'Australian dollar'), ('AWG', 'Aruban florin'), ('AZN', 'Azerbaijan manat'), ('BAM', 'Convertible mark'), ('BBD', 'Barbados dollar'),
  ('BDT', 'Taka'), ('BGN', 'Bulgarian lev'), ('BHD', 'Bahraini dinar'), ('BIF', 'Burundi franc'), ('BMD', 'Bermudian dollar'),
  ('BND', 'Brunei dollar'), ('BOB', 'Boliviano'), ('BRL', 'Brazilian real'), ('BSD', 'Bahamian dollar'), ('BTN', 'Ngultrum'), ('BWP', 'Pula'),
  ('BYN', 'Belarusian ruble'), ('BZD', 'Belize dollar'), ('CAD', 'Canadian dollar'), ('CDF', 'Congolese franc'), ('CHF', 'Swiss franc'),
  ('CLF', 'Unidad de fomento'), ('CLP', 'Chilean peso'), ('CNY', 'Yuan renminbi'), ('COP', 'Colombian peso'), ('CRC', 'Costa Rican colon'),
  ('CUP', 'Cuban peso'), ('CVE', 'Cabo Verde escudo'), ('CZK', 'Czech koruna'), ('DJF', 'Djibouti franc'), ('DKK', 'Danish krone'),
  ('DOP', 'Dominican peso'), ('DZD', 'Algerian dinar'), ('EGP', 'Egyptian pound'), ('ERN', 'Nakfa'), ('ETB', 'Ethiopian birr'), ('EUR', 'Euro'),
  ('FJD', 'Fiji dollar'), ('FKP', 'Falkland Islands pound'), ('GBP', 'Pound sterling'), ('GEL', 'Lari'), ('GHS', 'Ghana cedi'),
  ('GIP', 'Gibraltar pound'), ('GMD', 'Dalasi'), ('GNF', 'Guinean franc'), ('GTQ', 'Quetzal'), ('GYD', 'Guyana dollar'), ('HKD', 'Hong Kong dollar'),
  ('HNL', 'Lempira'), ('HTG', 'Gourde'), ('HUF', 'Forint'), ('IDR', 'Rupiah'), ('ILS', 'New Israeli sheqel'), ('INR', 'Indian rupee'),
  ('IQD', 'Iraqi dinar'), ('IRR', 'Iranian rial'), ('ISK', 'Iceland krona'), ('JMD', 'Jamaican dollar'), ('JOD', 'Jordanian dinar'), ('JPY', 'Yen'),
  ('KES', 'Kenyan shilling'), ('KGS', 'Som'), ('KHR', 'Riel'), ('KMF', 'Comorian franc'), ('KPW', 'North Korean won'), ('KRW', 'Won'),
  ('KWD', 'Kuwaiti dinar'), ('KYD', 'Cayman Islands dollar'), ('KZT', 'Tenge'), ('LAK', 'Lao kip'), ('LBP', 'Lebanese pound'),
  ('LKR', 'Sri Lanka rupee'), ('LRD', 'Liberian dollar'), ('LSL', 'Loti'), ('LYD', 'Libyan dinar'), ('MAD', 'Moroccan dirham'),
  ('MDL', 'Moldovan leu'), ('MGA', 'Malagasy ariary'), ('MKD', 'Denar'), ('MMK', 'Kyat'), ('MNT', 'Tugrik'), ('MOP', 'Pataca'), ('MRU', 'Ouguiya'),
  ('MUR', 'Mauritius rupee'), ('MVR', 'Rufiyaa'), ('MWK', 'Malawi kwacha'), ('MXN', 'Mexican peso'), ('MYR', 'Malaysian ringgit'),
  ('MZN', 'Mozambique metical'), ('NAD', 'Namibia dollar'), ('NGN', 'Naira'), ('NIO', 'Cordoba oro'), ('NOK', 'Norwegian krone'),
  ('NPR', 'Nepalese rupee'), ('NZD', 'New Zealand dollar'), ('OMR', 'Rial omani'), ('PAB', 'Balboa'), ('PEN', 'Sol'), ('PGK', 'Kina'),
  ('PHP', 'Philippine peso'), ('PKR', 'Pakistan rupee'), ('PLN', 'Zloty'), ('PYG', 'Guarani'), ('QAR', 'Qatari rial'), ('RON', 'Romanian leu'),
  ('RSD', 'Serbian dinar'), ('RUB', 'Russian ruble'), ('RWF', 'Rwanda franc'), ('SAR', 'Saudi riyal'), ('SBD', 'Solomon Islands dollar'),
  ('SCR', 'Seychelles rupee'), ('SDG', 'Sudanese pound'), ('SEK', 'Swedish krona'), ('SGD', 'Singapore dollar'), ('SHP', 'Saint Helena pound'),
  ('SLE', 'Leone'), ('SOS', 'Somali shilling'), ('SRD', 'Surinam dollar'), ('SSP', 'South Sudanese pound'), ('STN', 'Dobra'), ('SVC', 'El Salvador colon'),
  ('SYP', 'Syrian pound'), ('SZL', 'Lilangeni'), ('THB', 'Baht'), ('TJS', 'Somoni'), ('TMT', 'Turkmenistan new manat'), ('TND', 'Tunisian dinar'),
  ('TOP', 'Pa''anga'), ('TRY', 'Turkish lira'), ('TTD', 'Trinidad and Tobago dollar'), ('TWD', 'New Taiwan dollar'), ('TZS', 'Tanzanian shilling'),
  ('UAH', 'Hryvnia'), ('UGX', 'Uganda shilling'), ('USD', 'US dollar'), ('UYI', 'Uruguay peso in indexed units'), ('UYU', 'Peso uruguayo'),
  ('UYW', 'Unidad previsional'), ('UZS', 'Uzbekistan sum'), ('VED', 'Bolivar digital'), ('VES', 'Bolivar soberano'), ('VND', 'Dong'), ('VUV', 'Vatu'),
  ('WST', 'Tala'), ('XAF', 'CFA franc BEAC'), ('XCD', 'East Caribbean dollar'), ('XCG', 'Caribbean guilder'), ('XOF', 'CFA franc BCEAO'),
  ('XPF', 'CFP franc'), ('YER', 'Yemeni rial'), ('ZAR', 'Rand'), ('ZMW', 'Zambian kwacha'), ('ZWG', 'Zimbabwe gold')) as c (code, name)
on conflict (code) do update set name = excluded.name, minor_digits = excluded.minor_digits;

create or replace function app.convert_minor(amount_minor bigint, exchange_rate numeric, currency text, base_currency text) returns bigint
language sql immutable parallel safe
return case when exchange_rate is null then null when currency = base_currency then amount_minor
  -- Clamped to the bigint range, where a constraint then names the problem.
  else least(round(amount_minor::numeric * exchange_rate
    * (10::numeric ^ (app.minor_digits(base_currency) - app.minor_digits(currency)))), 9223372036854775807)::bigint end;
comment on function app.convert_minor(bigint, numeric, text, text) is
  'An amount in another currency, both in minor units; the rate is units of the base currency for one unit of the currency. Half a unit is rounded away from zero.';
grant execute on function app.convert_minor(bigint, numeric, text, text) to callboard_api, callboard_definer;

create or replace function app.list_currencies() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('code', c.code, 'name', c.name, 'minor_digits', c.minor_digits) order by c.code),
    'next_cursor', null), null::text, null::text
  from app.currencies c where app.require('finance.read') is not null;
end;
comment on function app.list_currencies() is 'The currencies that finance records can have. PT403.';
grant execute on function app.list_currencies() to callboard_api;
