// What the tests of BI logins share.
import postgres from 'postgres'
import type { Test } from 'tap'
import type { Person, TestServer } from './helper.ts'

/** A BI tool's login, as shown to its owner. */
export interface Credential {
  id: string
  login: string
  password: string
  expires_at: string
  connect: Record<'uri' | 'psql' | 'sqlalchemy' | 'jdbc' | 'odbc' | 'power_bi', string> & {
    metabase: Record<string, unknown>
  }
}

/** Creates a credential as an organization's owner does. */
export async function makeCredential(
  { call }: Pick<TestServer, 'call'>,
  { token }: Person,
  body: object = {},
): Promise<Credential> {
  const made = await call<Credential & Record<string, unknown>>('POST /api/bi-credentials', {
    token,
    body: { name: 'Metabase', ...body },
  })
  if (made.status !== 201) throw new Error(`no BI credential: ${made.text}`)
  return made.body
}

/** A BI tool's connection; closed after the test. */
export function connectBi(
  t: Test,
  { connect }: Pick<Credential, 'connect'>,
  onnotice: (notice: postgres.Notice) => void = () => {},
) {
  // postgres.js would require TLS, which libpq only prefers.
  const sql = postgres(connect.uri.replace('sslmode=prefer', 'sslmode=disable'), {
    max: 1,
    idle_timeout: 0,
    fetch_types: false,
    onnotice,
  })
  t.teardown(() => sql.end({ timeout: 1 }))
  return sql
}

/**
 * A view over a materialized one, made like those of db/schema, with a known row for each organization,
 * whatever the other views contain.
 */
export async function makeProbe({ db: { admin } }: TestServer, markers: Record<string, string>) {
  await admin.unsafe(`
    create table app_private.probe (organization_id uuid not null, title text not null, amount_minor bigint not null);
    alter table app_private.probe owner to callboard_rollup;
    grant usage on schema app_private to callboard_rollup;
    set role callboard_rollup;
    create materialized view analytics_private.probe as select * from app_private.probe;
    create index on analytics_private.probe (organization_id, title);
    alter materialized view analytics_private.probe alter column title set statistics 0, alter column amount_minor set statistics 0;
    create view analytics.probe with (security_barrier = true) as
      select title, amount_minor from analytics_private.probe where organization_id = (select app.visible_org('finance.read'));
    comment on view analytics.probe is 'Known rows.';
    grant select on analytics.probe to callboard_api, callboard_bi;
    reset role`)
  for (const [organization, title] of Object.entries(markers))
    await admin`
      insert into app_private.probe
      select ${organization}, ${title}, 770000 + n from generate_series(1, 200) n`
  await admin`refresh materialized view analytics_private.probe`
  await admin`analyze analytics_private.probe`
}
