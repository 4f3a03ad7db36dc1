// What a difference of a table means: its row-level security, columns, constraints, triggers and rows.
import type { Judge } from './judgement.ts'
import { isOuter, limitOf, listed, whom, whomAll } from './words.ts'

export const judgeTables: Judge[] = [
  {
    subject: /^table (?<table>\S+) row security$/,
    judge: ({ table = '' }, { expected, found }, facts) => {
      if (found === undefined) return undefined
      const readers = facts.readersOf(table)
      if (found.startsWith('not enabled'))
        return {
          class: 'dangerous',
          says: `No policy of ${table} applies: all rows of all organizations are open to ${readers.length > 0 ? whomAll(readers) : 'whoever is granted it, nobody at present'}.`,
        }
      if (found.endsWith('not forced') && expected !== found)
        return {
          class: 'dangerous',
          says: `No policy of ${table} applies to its owner: all rows of all organizations are open to ${whom('callboard_owner')}.`,
        }
      return { class: 'to be reviewed', says: `${table}: ${found}.` }
    },
  },
  {
    subject: /^table (?<table>\S+) owner$/,
    judge: ({ table = '' }, { expected, found }, facts) => {
      if (found === undefined)
        return { class: 'breaking', says: `The table ${table} ${facts.words.gone}, with all that reads it.` }
      if (expected !== undefined)
        return { class: 'dangerous', says: `${whom(found)} owns ${table}, and may drop its policies.` }
      const readers = facts.readersOf(table).filter(isOuter)
      const open = facts.unprotected.has(table)
      const through = readers.map(role => `${role}: select ${limitOf(facts, table, role, 'select')}`)
      return {
        class: open && readers.length > 0 ? 'dangerous' : 'to be reviewed',
        says: `The table ${table} ${facts.words.added}${open ? ', and has no row-level security' : ''}: it is open to ${whomAll(readers)}.`,
        ...(through.length > 0 && { why: through }),
      }
    },
  },
  {
    subject: /^row of (?<table>\S+)$/,
    judge: ({ table = '' }, { expected, found }) => ({
      class:
        /\.(?:role_permissions|roles|table_permissions|permissions)$/.test(table) && found !== undefined
          ? 'dangerous'
          : 'to be reviewed',
      says:
        found === undefined
          ? `${table} lacks ${expected ?? ''}.`
          : `${table} has ${found}${table.endsWith('role_permissions') ? ', which gives that permission to every member with the role' : ''}.`,
    }),
  },
  {
    subject: /^index (?<index>\S+)$/,
    judge: ({ index = '' }, { found }, facts) => {
      if (found === undefined)
        return {
          class: 'to be reviewed',
          says: `${index} ${facts.words.gone}: what it made fast is slow, and if it was unique, duplicates are possible.`,
        }
      if (/, invalid/.test(found))
        return { class: 'to be reviewed', says: `${index} is invalid: it costs and helps nobody.` }
      return {
        class: 'safe',
        says: `${index} is an index of yours; the rules say whether it reveals anything.`,
      }
    },
  },
  {
    subject: /^constraint (?<name>\S+) on (?<table>\S+)$/,
    judge: ({ name = '', table = '' }, { found }, facts) => ({
      class: 'to be reviewed',
      says: `The constraint ${name} of ${table} ${found === undefined ? `${facts.words.gone}: rows that contradict it can be entered` : `is: ${found}`}.`,
    }),
  },
  {
    subject: /^trigger (?<name>\S+) on (?<table>\S+)$/,
    judge: ({ name = '', table = '' }, { found }, facts) => {
      const writers = (facts.grants.get(table) ?? [])
        .filter(({ privileges }) => privileges.some(name => /^(?:insert|update|delete)/.test(name)))
        .map(({ grantee }) => grantee)
        .filter(name => name !== 'its owner')
      if (found === undefined || / (?:disabled|replica)$/.test(found))
        return {
          class: 'dangerous',
          says: `The trigger ${name} of ${table} no longer runs: what it checks or logs is not done for ${listed([...new Set(writers)])}.`,
        }
      return {
        class: 'to be reviewed',
        says: `The trigger ${name} of ${table} runs with the rights of whoever writes: ${found}.`,
      }
    },
  },
  {
    subject: /^column (?<column>\S+)$/,
    judge: ({ column = '' }, { expected, found }, facts) => ({
      class: found === undefined ? 'breaking' : 'to be reviewed',
      says:
        found === undefined
          ? `The column ${column} ${facts.words.gone}.`
          : expected === undefined
            ? `The column ${column} ${facts.words.added}.`
            : `The column ${column} is ${found} instead of ${expected}.`,
    }),
  },
  {
    subject:
      /^(?<relation>(?:table|view|materialized view) \S+) (?:persistence|replica identity|partition(?: key)?|inherits|data)$/,
    judge: ({ relation = '' }, { found }) =>
      found === 'not populated'
        ? { class: 'breaking', says: `The ${relation} was never computed: reading it fails.` }
        : undefined,
  },
]
