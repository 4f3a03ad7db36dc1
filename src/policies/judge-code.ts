// What a difference of a function, a view, an extension or what runs by itself means.
import type { Judge } from './judgement.ts'
import type { LiveFacts } from './live.ts'
import { Reach } from './reach.ts'
import { isOuter, listed, whom, whomAll } from './words.ts'

const reaches = new WeakMap<LiveFacts, Reach>()
/** What a function touches with the rights of its owner: owner → table: command. */
function touched(signature: string, facts: LiveFacts): string[] {
  const routine = facts.routines.get(signature)
  if (routine === undefined) return []
  const reach = reaches.get(facts) ?? new Reach(facts)
  reaches.set(facts, reach)
  return reach
    .of(routine)
    .map(({ table, command }) => `${signature} → ${routine.owner} → ${table}: ${command}`)
}

function rights(
  signature: string,
  facts: LiveFacts,
): { isDefiner: boolean; as: string; why: { why?: string[] } } {
  const routine = facts.routines.get(signature)
  const why = touched(signature, facts)
  if (!routine?.isDefiner) return { isDefiner: false, as: 'with the rights of whoever calls it', why: {} }
  return { isDefiner: true, as: `with the rights of ${routine.owner}`, why: why.length > 0 ? { why } : {} }
}

/** Extensions with which a login leaves its database, reads files, or runs statements as somebody else. */
const dangerousExtensions =
  /^(?:dblink|postgres_fdw|file_fdw|adminpack|pg_cron|pg_net|http|plpython\w*u|plperlu|pltclu|plsh|pageinspect|pg_surgery|pg_background|lo|pg_walinspect|pg_buffercache)$/
const dangerousSettings =
  /^(?:row_security|search_path|role|session_authorization|\w+_preload_libraries|backtrace_functions|app\.|default_transaction_isolation)/

export const judgeCode: Judge[] = [
  {
    subject: /^(?:function|procedure) (?<signature>.+) grants to (?<role>\S+)$/,
    judge: ({ signature = '', role = '' }, { found }, facts) => {
      if (found === undefined)
        return { class: 'breaking', says: `${whom(role)} may no longer call ${signature}.` }
      const { isDefiner, as, why } = rights(signature, facts)
      return {
        class: isDefiner || role === 'public' ? 'dangerous' : 'to be reviewed',
        says: `${whom(role)} may call ${signature}, which runs ${as}.`,
        ...why,
      }
    },
  },
  {
    subject: /^(?:function|procedure) (?<signature>.+) (?<aspect>owner|definition)$/,
    judge: ({ signature = '', aspect = '' }, { expected, found }, facts) => {
      if (found === undefined)
        return {
          class: 'breaking',
          says: `The function ${signature} ${facts.words.gone}, with all that calls it.`,
        }
      const { isDefiner, as, why } = rights(signature, facts)
      const name = signature.slice(0, signature.indexOf('('))
      const policies = [...facts.policies.entries()].flatMap(([table, all]) =>
        all
          .filter(({ using, check }) => `${using ?? ''} ${check ?? ''}`.includes(`${name}(`))
          .map(policy => `${policy.name} on ${table}`),
      )
      if (policies.length > 0)
        return {
          class: 'dangerous',
          says: `What ${signature} returns decides in ${policies.length} policies which rows are seen, and it ${expected === undefined ? facts.words.added : facts.words.differs}.`,
          why: policies,
        }
      const callers = (facts.routines.get(signature)?.grantees ?? []).filter(isOuter)
      const what =
        expected === undefined
          ? facts.words.added
          : aspect === 'owner'
            ? 'has another owner'
            : facts.words.differs
      return {
        class: isDefiner && (expected !== undefined || callers.length > 0) ? 'dangerous' : 'to be reviewed',
        says: `The function ${signature} ${what}: it runs ${as}, for ${callers.length > 0 ? whomAll(callers) : 'triggers and the functions that call it'}.`,
        ...why,
      }
    },
  },
  {
    subject: /^(?<view>(?:view|materialized view) \S+) (?<aspect>owner|definition|option)$/,
    judge: ({ view = '', aspect = '' }, { expected, found }, facts) => {
      const readers = facts.readersOf(view.split(' ').at(-1) ?? '').filter(isOuter)
      if (aspect === 'option') {
        const option = /^(security_\w+)/.exec(found ?? expected ?? '')?.[1]
        if (option === undefined) return undefined
        const isOff = found === undefined || /=(?:false|off)$/.test(found)
        if (!isOff) return { class: 'breaking', says: `The ${view} is ${found}, and may show less.` }
        return {
          class: 'dangerous',
          says:
            option === 'security_invoker'
              ? `The ${view} reads with the rights of its owner instead of the reader's, so it shows ${whomAll(readers)} what the owner's policies allow.`
              : `The ${view} is no security barrier: a condition of ${whomAll(readers)} may be evaluated before its own, and see rows that it hides.`,
        }
      }
      if (found === undefined)
        return { class: 'breaking', says: `The ${view} ${facts.words.gone}, with all that reads it.` }
      const what =
        expected === undefined
          ? facts.words.added
          : aspect === 'owner'
            ? 'has another owner'
            : facts.words.differs
      return {
        class: expected === undefined && readers.length === 0 ? 'to be reviewed' : 'dangerous',
        says: `The ${view} ${what}: what it shows is read by ${whomAll(readers)}.`,
      }
    },
  },
  {
    subject: /^extension (?<name>\S+)$/,
    judge: ({ name = '' }, { found }, facts) => {
      if (found === undefined)
        return {
          class: 'breaking',
          says: `The extension ${name} ${facts.words.gone}, with the indexes that need it.`,
        }
      if (dangerousExtensions.test(name))
        return {
          class: 'dangerous',
          says: `With the extension ${name}, whoever may call its functions connects elsewhere, reads files or pages, or runs statements outside row-level security.`,
        }
      return {
        class: 'to be reviewed',
        says: `The extension ${name} ${facts.words.added}: the rules say which of its functions are open to whom.`,
      }
    },
  },
  {
    subject: /^(?:publication|event trigger|rule) (?<name>.+)$/,
    judge: ({ name = '' }, { subject, found }, facts) => ({
      class: found === undefined ? 'to be reviewed' : 'dangerous',
      says:
        found === undefined
          ? `${subject} ${facts.words.gone}.`
          : subject.startsWith('publication')
            ? `The publication ${name} sends rows to whoever subscribes: ${found}. Row-level security does not apply there.`
            : `${subject} runs by itself: ${found}.`,
    }),
  },
  {
    subject: /^schema (?<schema>\S+) grants to (?<role>\S+)$/,
    judge: ({ schema = '', role = '' }, { expected = '', found = '' }) => {
      const more = found.split(', ').filter(name => name !== '' && !expected.split(', ').includes(name))
      if (more.length === 0)
        return { class: 'breaking', says: `${whom(role)} no longer gets into the schema ${schema}.` }
      const what = more.map(name =>
        name.startsWith('create')
          ? `create in ${schema}, and so replace what others call there`
          : `reach what is granted in ${schema}`,
      )
      return {
        class: isOuter(role) ? 'dangerous' : 'to be reviewed',
        says: `${whom(role)} may ${what.join(', and ')}.`,
      }
    },
  },
  {
    subject:
      /^default privileges of (?<role>\S+) on (?<kind>\w+)(?: in \S+)?(?: grants to (?<grantee>\S+))?$/,
    judge: ({ role = '', kind = '', grantee }, { found }) => {
      if (grantee !== undefined && found !== undefined)
        return {
          class: grantee === 'its owner' ? 'safe' : 'dangerous',
          says: `Whatever ${role} creates, ${whom(grantee)} may ${found}: ${kind}.`,
        }
      if (found === undefined && kind === 'functions')
        return {
          class: 'dangerous',
          says: `New functions of ${role} can be called by every login of the server: PostgreSQL lets PUBLIC execute them.`,
        }
      return { class: 'to be reviewed', says: `The default privileges of ${role} on ${kind} have changed.` }
    },
  },
  {
    subject: /^setting of this database(?: for (?<role>\S+))?$/,
    judge: ({ role }, { found, expected }, facts) => ({
      class: dangerousSettings.test(found ?? '') ? 'dangerous' : 'to be reviewed',
      says:
        found === undefined
          ? `The setting ${expected ?? ''} ${facts.words.gone}.`
          : `${role === undefined ? 'Every login' : whom(role)} starts here with ${found}, not with what Callboard was tested with.`,
    }),
  },
  {
    subject: /^(?:type|domain|sequence|schema|collation|statistics) (?<name>\S+)/,
    judge: (_, { subject, found, expected }, facts) => ({
      class: found === undefined ? 'breaking' : 'to be reviewed',
      says:
        found === undefined
          ? `${subject} ${facts.words.gone}.`
          : `${subject} ${expected === undefined ? facts.words.added : facts.words.differs}: ${listed([found])}.`,
    }),
  },
]
