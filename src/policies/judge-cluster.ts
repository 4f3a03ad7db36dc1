// What a difference of the server means: roles, memberships, settings, databases.
import { closing } from '../database/other-databases.ts'
import type { Judge } from './judgement.ts'
import { isOuter, whom } from './words.ts'

const attributes: Record<string, string> = {
  superuser: 'sees and changes everything: nothing applies to it',
  bypassrls: 'sees and changes the rows of all organizations: no policy applies to it',
  createrole: 'may create roles, and change those that are not superusers',
  createdb: 'may create databases, in which nothing of this one applies',
  replication: 'may copy the whole server as a standby does',
  login: 'may log in, so whoever has its password has its rights',
  inherit: 'has the privileges of the roles that it is a member of without becoming them',
}
/** The hardening that keeps nobody from anything: it only tells. */
const watched = 'passwords of logins watched'
/** What it costs that something is lost; db/database.sql says the same where it cannot be set. */
export const lost: Record<string, string> = {
  'large objects closed to public': 'every login may keep and read large objects, which no policy applies to',
  'advisory locks closed to public': 'every login may take advisory locks, and so make others wait',
  'signals to backends closed to public':
    'every login may cancel statements of its own role, which tenants share',
  'messages in the write-ahead log closed to public':
    'every login may fill the disk with messages in the write-ahead log',
  'names of prepared statements and cursors closed to public':
    'injected SQL may read the names of prepared statements, and replace one that the next organization runs',
  'pg_prepared_statements closed to public':
    'injected SQL may read the names of prepared statements, and replace one that the next organization runs',
  'pg_cursors closed to public': 'injected SQL may read the names of cursors, and fetch from them',
  'who is connected closed to public':
    'every login, those of BI tools included, sees who else is connected, from where, with which tool',
  'pg_stat_activity closed to public':
    'every login, those of BI tools included, sees who else is connected, from where, with which tool',
  'schema public closed to public': 'every login may create or use what is in the schema public',
  'uuids compared before other conditions':
    'EXPLAIN ANALYZE may show a login, query by query, what rows of other organizations contain',
  [watched]:
    'nobody is told when a login changes its own password, be it one of the programs or of a BI tool',
}
/** Settings with which a login acts as another, loads code, or loses what limits it. */
const dangerous =
  /^(?:role|session_authorization|row_security|search_path|backtrace_functions|app\..*|\w+_preload_libraries|session_replication_role|log_\w+)$/

const databasePrivileges: Record<string, string> = {
  connect: 'connect',
  create: 'create schemas and publications',
  temporary: 'create temporary tables',
}
/** A name as SQL writes it. */
const nameOf = (name: string) => (/^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)
const verbs = (privileges: string[]) => privileges.map(name => databasePrivileges[name] ?? name).join(', ')

export const judgeCluster: Judge[] = [
  {
    subject: /^function app_private\.set_up_by\(\) owner$/,
    judge: (_, { found }, { setUpBy }) =>
      found === undefined
        ? undefined
        : {
            class: 'to be reviewed',
            says: `${setUpBy ?? 'Somebody'}, who is no superuser, has set up this database. What only a superuser can do is missing, and named one by one.`,
          },
  },
  {
    subject: /^role (?<role>\S+) attribute (?<attribute>\w+)$/,
    judge: ({ role = '', attribute = '' }, { found }) => {
      if (found === undefined)
        return {
          class: 'breaking',
          says: `${whom(role)} has lost ${attribute.toUpperCase()}, and what needs that fails.`,
        }
      return {
        class: 'dangerous',
        says: `${whom(role)} has ${attribute.toUpperCase()}: it ${attributes[attribute] ?? ''}.`,
      }
    },
  },
  {
    subject: /^role (?<member>\S+) member of (?<role>\S+)$/,
    judge: ({ member = '', role = '' }, { expected, found }, facts) => {
      if (found === 'admin' && member === facts.setUpBy)
        return {
          class: 'to be reviewed',
          says: `${member} has set up this server without being a superuser, so it administers ${whom(role)}: it may take on its rights.`,
        }
      if (found === undefined && facts.setUpBy !== undefined && role === 'pg_read_all_stats')
        return {
          class: 'to be reviewed',
          says: `${whom(member)} is no member of ${role}, which not every server can grant: metrics do not say how old transactions are, how large the database is, and how far standbys are behind.`,
        }
      if (found === undefined)
        return {
          class: 'breaking',
          says: `${whom(member)} is no longer a member of ${role}, and fails where it needs its rights.`,
        }
      const options = found.split(', ')
      const how = options.includes('inherit')
        ? `has the rights of`
        : options.includes('admin')
          ? 'may give itself and others'
          : 'may become'
      const more = facts.rolesOf(role).filter(name => ![role, 'public'].includes(name))
      const then = more.length > 0 ? `, and through it those of ${more.join(', ')}` : ''
      return {
        class: expected !== undefined && !found.includes('admin') ? 'to be reviewed' : 'dangerous',
        says: `${whom(member)} ${how} ${whom(role)}${then}: it sees what policies and grants let these see.`,
      }
    },
  },
  {
    subject: /^role (?<role>of every role|\S+) setting (?<setting>\S+)$/,
    judge: ({ role = '', setting = '' }, { expected, found }) => {
      const who = role === 'of every role' ? 'Every login' : whom(role)
      if (found === undefined)
        return { class: 'breaking', says: `${who} no longer starts with ${setting} = ${expected ?? ''}.` }
      return {
        class: dangerous.test(setting) ? 'dangerous' : 'to be reviewed',
        says: `${who} starts every connection with ${setting} = ${found}. A role can set this for itself, so somebody may have logged in with its password, or injected SQL.`,
      }
    },
  },
  {
    subject: /^parameter (?<parameter>\S+) grants to (?<role>\S+)$/,
    judge: ({ parameter = '', role = '' }, { found }, facts) => {
      if (found === undefined && facts.setUpBy !== undefined && parameter === 'temp_file_limit')
        return {
          class: 'to be reviewed',
          says: `${whom(role)} may not set ${parameter}, which only a superuser can grant: a query of a BI tool may fill the disk with temporary files.`,
        }
      if (found === undefined)
        return { class: 'breaking', says: `${whom(role)} may no longer set ${parameter}.` }
      const forges = parameter === 'backtrace_functions'
      return {
        class: 'dangerous',
        says: `${whom(role)} may set ${parameter}${forges ? ', which holds the context of a request: it can act as anybody of any organization' : ', which only a superuser should'}.`,
      }
    },
  },
  {
    subject: /^this database grants to (?<role>\S+)$/,
    judge: ({ role = '' }, { expected = '', found = '' }, facts) => {
      if (role === facts.setUpBy && found === 'connect')
        return { class: 'to be reviewed', says: `${role} has set up this database, and may connect to it.` }
      const more = found.split(', ').filter(name => name !== '' && !expected.split(', ').includes(name))
      if (more.length === 0)
        return {
          class: 'breaking',
          says: `${whom(role)} may no longer ${verbs(expected.split(', ').filter(name => !found.includes(name)))} in this database.`,
        }
      return { class: 'dangerous', says: `${whom(role)} may ${verbs(more)} in this database.` }
    },
  },
  {
    subject: /^other database (?<database>\S+) grants to (?<role>\S+)$/,
    judge: ({ database = '', role = '' }, { found, expected = '' }) => ({
      class: isOuter(role) && found !== undefined ? 'to be reviewed' : 'safe',
      says: `${whom(role)} may ${found === undefined ? 'no longer ' : ''}${verbs((found ?? expected).split(', '))} in the database ${database}, where nothing of db/database.sql holds unless it is another Callboard.${found === undefined ? '' : ` Close it with: ${closing(nameOf(database), nameOf(role))}.`}`,
    }),
  },
  {
    subject: /^this database owner$/,
    judge: (_, { found }) =>
      found === undefined
        ? undefined
        : {
            class: 'dangerous',
            says: `${whom(found)} owns this database, and may grant privileges on it to anybody.`,
          },
  },
  {
    subject: /^hardening (?<name>.+)$/,
    judge: ({ name = '' }, { found }, facts) => {
      if (found !== 'lost') return undefined
      // The schema public belongs to the owner of the database.
      if (facts.setUpBy !== undefined && name !== 'schema public closed to public')
        return {
          class: 'to be reviewed',
          says: `Only a superuser can set what is missing (${name}), and ${facts.setUpBy}, who has set up this server, is none: ${lost[name] ?? ''}.`,
        }
      return {
        class: name === watched ? 'to be reviewed' : 'dangerous',
        says: `What db/database.sql sets is lost (${name}): ${lost[name] ?? ''}. Run it again, as after every restore and upgrade.`,
      }
    },
  },
  {
    subject: /^role (?<role>\S+) (?<what>connection limit|valid until)$/,
    judge: ({ role = '', what = '' }, { found, expected }) => ({
      class: 'breaking',
      says: `${whom(role)}: ${what} is ${found ?? 'missing'} instead of ${expected ?? 'none'}.`,
    }),
  },
]
