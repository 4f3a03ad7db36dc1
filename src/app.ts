import accepts from '@fastify/accepts'
import cors from '@fastify/cors'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { LogController } from 'fastify'
import { type Config, list } from './config.ts'
import type { Pool } from './database/pool.ts'
import type { Replica } from './database/replica.ts'
import { createStorage } from './exports/storage.ts'
import type { App } from './http/fastify.ts'
import { limits } from './http/limits/limits.ts'
import { loggerOptions, logging, requestId } from './http/logging.ts'
import { measuring, metricsRoutes } from './monitoring/metrics.ts'
import { createMetrics, type DatabaseGauge } from './monitoring/registry.ts'
import { methods } from './http/methods.ts'
import { openapi } from './http/openapi/openapi.ts'
import { malformed, problemDetails } from './http/problem.ts'
import { replicas } from './tenant/replica.ts'
import { streaming } from './tenant/streaming.ts'
import { accessRoutes } from './organizations/access.ts'
import { activityRoutes } from './analytics/activity.ts'
import { analyticsRoutes } from './analytics/analytics.ts'
import { auditRoutes } from './audit/audit.ts'
import { authRoutes } from './accounts/auth.ts'
import { biCredentialRoutes } from './bi/credentials.ts'
import { clientEventRoutes } from './analytics/client-events.ts'
import { dealRoutes } from './settlements/deals.ts'
import { depositRoutes } from './settlements/deposits.ts'
import { exportFileRoutes } from './exports/files.ts'
import { exportJobRoutes } from './exports/jobs.ts'
import { exportRoutes } from './exports/streams.ts'
import { financeCategoryRoutes } from './finance/categories.ts'
import { financePeriodRoutes } from './finance/periods.ts'
import { financeRecordRoutes } from './finance/records.ts'
import { calendarFeedRoutes, calendarRoutes } from './calendar/calendar.ts'
import { healthRoutes } from './monitoring/health.ts'
import { importRoutes } from './imports/imports.ts'
import { integrationRoutes } from './analytics/integrations.ts'
import { acceptInvitationRoutes, invitationRoutes } from './organizations/invitations.ts'
import { itineraryRoutes } from './itineraries/itineraries.ts'
import { meRoutes } from './accounts/me.ts'
import { myOrganizationRoutes, organizationRoutes } from './organizations/organizations.ts'
import { mailedLinkRoutes, passwordRoutes } from './accounts/passwords.ts'
import { permissionRoutes } from './organizations/permissions.ts'
import { problemRoutes } from './http/problem-pages.ts'
import { reportRoutes } from './analytics/reports.ts'
import { retentionRoutes } from './audit/retention.ts'
import { roleRoutes } from './organizations/roles.ts'
import { settlementRoutes } from './settlements/settlements.ts'
import { showCostRoutes } from './settlements/show-costs.ts'
import { showRoutes } from './shows/shows.ts'
import { supportRoutes } from './organizations/support.ts'
import { ticketTierRoutes } from './settlements/ticket-tiers.ts'
import { userRoutes } from './organizations/users.ts'
import { venueRoutes } from './shows/venues.ts'
import { securityHeaders } from './http/security-headers.ts'
import { tally } from './analytics/use/use.ts'
import { resources } from './tenant/resource.ts'
import { tenant } from './tenant/tenant.ts'
import { tokens } from './http/tokens.ts'
import { validation } from './http/validation.ts'
import { version } from './version.ts'

export interface AppOptions {
  config: Config
  pool: Pool
  /** Connections of callboard_support; without them there are no superadmins. */
  supportPool?: Pool | undefined
  /** A standby that serves what may be some seconds old. */
  replica?: Replica | undefined
  /** Connections of callboard_api that only exports use, which take their time. */
  exportPool: Pool
  jwtSecret: string
  /** Where BI tools reach the database, if BI_DATABASE_URL does not say. */
  databaseUrl?: string | undefined
  /** What the database has to tell for /metrics, asked as a role that may know. */
  gauges?: (() => Promise<readonly DatabaseGauge[]>) | undefined
}

/** Builds the server: plugins in the order in which they act, then the routes. It does not listen yet. */
export async function buildApp(options: AppOptions): Promise<App> {
  const { config, pool, supportPool, exportPool, replica, jwtSecret, databaseUrl, gauges } = options
  const app = Fastify({
    logger: loggerOptions(config),
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    requestTimeout: config.REQUEST_TIMEOUT * 1000,
    http: {
      requestTimeout: config.REQUEST_TIMEOUT * 1000,
      // Node exchanges the two when the headers may take longer than the whole request, and their
      // default is a minute.
      headersTimeout: config.REQUEST_TIMEOUT * 1000,
      // It looks for requests that are late only so often.
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

  await app.register(logging)
  await app.register(problemDetails)
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
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
    ],
    maxAge: 600,
  })
  await app.register(validation)
  await app.register(tokens, { config, secret: jwtSecret })
  await app.register(accepts)
  await app.register(tenant, { pool, supportPool })
  await app.register(replicas, { replica })
  await app.register(resources)
  await app.register(streaming, { exportPool })
  await app.register(tally, { pool, config })
  await app.register(limits, { config })
  await app.register(methods)
  await app.register(openapi, { url: config.PUBLIC_URL ?? '/', version })

  const storage = createStorage(config)
  app.addHook('onClose', () => storage.close())

  // Who may enter is this list: nobody has a token here …
  await app.register(async (open: App) => {
    await open.register(healthRoutes)
    await open.register(metricsRoutes, { config })
    await open.register(problemRoutes)
    await open.register(authRoutes)
    await open.register(mailedLinkRoutes)
    await open.register(calendarFeedRoutes)
    await open.register(exportFileRoutes, { storage })
  })
  // … and everybody has one here.
  await app.register(async (signedIn: App) => {
    signedIn.addHook('onRequest', app.authenticate)
    await signedIn.register(meRoutes)
    await signedIn.register(passwordRoutes)
    await signedIn.register(myOrganizationRoutes)
    await signedIn.register(acceptInvitationRoutes)
    await signedIn.register(organizationRoutes)
    await signedIn.register(userRoutes)
    await signedIn.register(roleRoutes)
    await signedIn.register(permissionRoutes)
    await signedIn.register(accessRoutes)
    await signedIn.register(invitationRoutes)
    await signedIn.register(supportRoutes)
    await signedIn.register(venueRoutes)
    await signedIn.register(showRoutes)
    await signedIn.register(dealRoutes)
    await signedIn.register(ticketTierRoutes)
    await signedIn.register(showCostRoutes)
    await signedIn.register(depositRoutes)
    await signedIn.register(settlementRoutes)
    await signedIn.register(financeCategoryRoutes)
    await signedIn.register(financeRecordRoutes)
    await signedIn.register(financePeriodRoutes)
    await signedIn.register(importRoutes, { limit: config.IMPORT_LIMIT })
    await signedIn.register(exportRoutes)
    await signedIn.register(exportJobRoutes)
    await signedIn.register(itineraryRoutes)
    await signedIn.register(calendarRoutes)
    await signedIn.register(clientEventRoutes)
    await signedIn.register(activityRoutes)
    await signedIn.register(integrationRoutes, { delay: config.USE_FLUSH_INTERVAL })
    await signedIn.register(analyticsRoutes)
    await signedIn.register(biCredentialRoutes, {
      url: config.BI_DATABASE_URL ?? databaseUrl ?? config.DATABASE_URL ?? 'postgres://localhost/callboard',
    })
    await signedIn.register(reportRoutes)
    await signedIn.register(auditRoutes)
    await signedIn.register(retentionRoutes)
  })
  app.refuseOtherMethods()
  return app
}
