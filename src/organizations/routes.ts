// Organizations, and who may do what in them: members, invitations, roles, permissions and superadmins.
import type { App } from '../http/fastify.ts'
import { accessRoutes } from './access.ts'
import { acceptInvitationRoutes, invitationRoutes } from './invitations.ts'
import { myOrganizationRoutes, organizationRoutes } from './organizations.ts'
import { permissionRoutes } from './permissions.ts'
import { roleRoutes } from './roles.ts'
import { supportRoutes } from './support.ts'
import { userRoutes } from './users.ts'

export { problems } from './problems.ts'

export const tags = {
  organizations: 'The companies that you belong to',
  users: 'The members of the organization',
  roles: 'The built-in roles and the organization’s own',
  permissions: 'What a member may do, and why',
  invitations: 'Asking people to join the organization',
  support: 'For superadmins, who look into organizations they are not members of',
}

export async function routes(app: App) {
  await app.register(myOrganizationRoutes)
  await app.register(acceptInvitationRoutes)
  await app.register(organizationRoutes)
  await app.register(userRoutes)
  await app.register(roleRoutes)
  await app.register(permissionRoutes)
  await app.register(accessRoutes)
  await app.register(invitationRoutes)
  await app.register(supportRoutes)
}
