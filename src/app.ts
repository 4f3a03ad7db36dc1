import accepts from '@fastify/accepts'
import cors from '@fastify/cors'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { LogController } from 'fastify'
import * as accounts from './accounts/routes.ts'
import * as analytics from './analytics/routes.ts'
import { tally } from './analytics/use/use.ts'
import * as audit from './audit/routes.ts'
import * as bi from './bi/routes.ts'
import * as calendar from './calendar/routes.ts'
import { type Config, list } from './config.ts'
import type { Pool } from './database/pool.ts'
import type { Replica } from './database/replica.ts'
import { createStorage } from './exports/open.ts'
import * as exports from './exports/routes.ts'
import * as finance from './finance/routes.ts'
import type { App } from './http/fastify.ts'
import { deprecations } from './http/deprecation.ts'
import { limits } from './http/limits/limits.ts'
import { loggerOptions, logging, type LogOutput, requestId } from './http/logging.ts'
import { methods } from './http/methods.ts'
import { openapi } from './http/openapi/openapi.ts'
import { malformed, problemDetails } from './http/problem.ts'
import * as problemPages from './http/problem-pages.ts'
import { addProblems } from './http/problems.ts'
import { receiving } from './http/receiving.ts'
import { securityHeaders } from './http/security-headers.ts'
import { singleHeaders } from './http/single-headers.ts'
import { stopping } from './http/stopping.ts'
import { tokens } from './http/tokens.ts'
import { validation } from './http/validation.ts'
import * as imports from './imports/routes.ts'
import * as itineraries from './itineraries/routes.ts'
import * as health from './monitoring/health.ts'
import { measuring, metricsRoutes } from './monitoring/metrics.ts'
import { createMetrics, type DatabaseGauge } from './monitoring/registry.ts'
import * as organizations from './organizations/routes.ts'
import * as settlements from './settlements/routes.ts'
import * as shows from './shows/routes.ts'
import { replicas } from './tenant/replica.ts'
import { resources } from './tenant/resource.ts'
import { streaming } from './tenant/streaming.ts'
import { tenant } from './tenant/tenant.ts'
import { version } from './version.ts'

const subjects = [
  accounts,
  organizations,
  shows,
  settlements,
  finance,
  analytics,
  imports,
  exports,
  itineraries,
  calendar,
  bi,
  audit,
]
for (const { problems } of subjects) addProblems(problems)
/** In the order of the document. */
const tags = Object.fromEntries(
  [...subjects, problemPages, health].flatMap(part => Object.entries<string>(part.tags)),
)

export interface AppOptions {
  config: Config
  pool: Pool
  /** Connections of callboard_support; without them there are no superadmins. */
  supportPool?: Pool | undefined
  /** A standby that serves data that may be some seconds old. */
  replica?: Replica | undefined
  /** Connections of callboard_api for exports only, which take long. */
  exportPool: Pool
  jwtSecret: string
  /** Where BI tools reach the database, unless BI_DATABASE_URL says otherwise. */
  databaseUrl?: string | undefined
  /** Reads the database's gauges for /metrics, as a role that may see them. */
  gauges?: (() => Promise<readonly DatabaseGauge[]>) | undefined
  /** Where the log goes: standard output, in batches. */
  output?: LogOutput | undefined
}

/** Builds the server: plugins in the order in which they run, then the routes. It does not listen yet. */
export async function buildApp(options: AppOptions): Promise<App> {
  const { config, pool, supportPool, exportPool, replica, jwtSecret, databaseUrl, gauges, output } = options
  const app = Fastify({
    logger: loggerOptions(config, output),
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    // Only the headers; the deadline of a body depends on the route: see receiving.ts.
    requestTimeout: 0,
    http: {
      requestTimeout: 0,
      headersTimeout: config.REQUEST_TIMEOUT * 1000,
      // How often Node checks for late headers.
      connectionsCheckingInterval: Math.min(config.REQUEST_TIMEOUT * 250, 30_000),
    },
    connectionTimeout: config.REQUEST_TIMEOUT * 1000 * 2,
    bodyLimit: config.BODY_LIMIT,
    trustProxy: config.TRUST_PROXY === '' ? false : list(config.TRUST_PROXY),
    // Refused while stopping, instead of cut off.
    return503OnClosing: true,
    ...malformed,
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.removeContentTypeParser('text/plain')
  // Many clients send the header with every request, whether there is a body or not.
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text: string, done) => {
    if (text === '') done(null, undefined)
    else void parseJson(request, text, done)
  })

  await app.register(logging)
  await app.register(stopping)
  await app.register(problemDetails)
  await app.register(singleHeaders)
  await app.register(receiving, { timeout: config.REQUEST_TIMEOUT * 1000 })
  await app.register(measuring, { metrics: createMetrics(pool, gauges, replica?.pool) })
  await app.register(securityHeaders, {
    contentSecurityPolicy: { directives: { defaultSrc: ["'none'"] } },
    hsts: config.NODE_ENV === 'production',
  })
  await app.register(cors, {
    origin: list(config.CORS_ORIGINS),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      'etag',
      'location',
      'link',
      'retry-after',
      'content-disposition',
      'repr-digest',
      'x-request-id',
      'data-age',
      'deprecation',
      'ratelimit',
      'ratelimit-policy',
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
    ],
    maxAge: 600,
  })
  await app.register(validation)
  await app.register(tokens, { config, secret: jwtSecret })
  await app.register(accepts)
  await app.register(tenant, { pool, supportPool, slow: config.SLOW_TRANSACTION * 1000 })
  await app.register(replicas, { replica })
  await app.register(resources)
  await app.register(streaming, { exportPool })
  await app.register(tally, { pool, config })
  await app.register(limits, { config })
  await app.register(methods)
  await app.register(deprecations)
  await app.register(openapi, { url: config.PUBLIC_URL ?? '/', version, tags })

  const storage = createStorage(config)
  app.addHook('onClose', () => storage.close())

  // Access is decided here: these routes need no access token …
  await app.register(async (open: App) => {
    await open.register(health.healthRoutes)
    await open.register(metricsRoutes, { config })
    await open.register(problemPages.problemRoutes)
    await open.register(accounts.openRoutes)
    await open.register(calendar.openRoutes)
    await open.register(exports.openRoutes, { storage })
  })
  // … and these need one.
  await app.register(async (signedIn: App) => {
    signedIn.addHook('onRequest', app.admit)
    await signedIn.register(accounts.routes)
    await signedIn.register(organizations.routes)
    await signedIn.register(shows.routes)
    await signedIn.register(settlements.routes)
    await signedIn.register(finance.routes)
    const delay = config.USE_FLUSH_INTERVAL
    await signedIn.register(analytics.routes, { delay })
    await signedIn.register(imports.routes, { limit: config.IMPORT_LIMIT })
    await signedIn.register(exports.routes, { delay })
    await signedIn.register(itineraries.routes)
    await signedIn.register(calendar.routes)
    await signedIn.register(bi.routes, {
      url: config.BI_DATABASE_URL ?? databaseUrl ?? config.DATABASE_URL ?? 'postgres://localhost/callboard',
    })
    await signedIn.register(audit.routes)
  })
  app.refuseOtherMethods()
  return app
}
