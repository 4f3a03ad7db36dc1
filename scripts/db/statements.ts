import { parse } from 'libpg-query'

/** A statement of a migration or of a schema file. */
export interface Statement {
  /** With the comments before it. */
  text: string
  /** Without them, as one compares it. */
  bare: string
  /** The schema file that it was included from; undefined if it was written into the migration. */
  file: string | undefined
  /** What it defines, such as `relation app.shows` or `function app.read_show(uuid)`; empty: not known. */
  objects: string[]
  /** Whether it can take along objects that it does not name. */
  cascades: boolean
}

/** The statements of a text, in order, each with the file whose include it is in. */
export async function statementsOf(text: string): Promise<Statement[]> {
  const statements: Statement[] = []
  const files: string[] = []
  for (const part of text.split(/^(?=--!? (?:End)?Included )/m)) {
    const [mark = '', end, name] = /^--!? (End)?Included (.*)\n?/.exec(part) ?? []
    if (end !== undefined) files.pop()
    else if (name !== undefined) files.push(name)
    statements.push(...(await split(part.slice(mark.length), files.at(-1))))
  }
  return statements
}

async function split(text: string, file: string | undefined): Promise<Statement[]> {
  if (text.trim() === '') return []
  // The parser counts bytes.
  const bytes = Buffer.from(text)
  const { stmts } = await parse(text)
  let from = 0
  return (stmts ?? []).map(({ stmt, stmt_location: start = 0, stmt_len: length = bytes.length - start }) => {
    const end = start + length
    const [kind = '', node] = Object.entries(stmt ?? {})[0] ?? []
    const statement = {
      text: bytes
        .subarray(from, end + 1)
        .toString()
        .trim(),
      bare: bytes.subarray(start, end).toString().trim(),
      file,
      objects: objectsOf(kind, node),
      cascades:
        at(node, 'behavior') === 'DROP_CASCADE' || ['RenameStmt', 'AlterObjectSchemaStmt'].includes(kind),
    }
    from = end + 1
    return statement
  })
}

/** What stands at a path in the parser's tree. */
const at = (node: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((found, field) => (found as Record<string, unknown> | undefined)?.[field], node)
const wordAt = (node: unknown, ...path: string[]): string => {
  const found = at(node, ...path)
  return typeof found === 'string' ? found : ''
}
const listAt = (node: unknown, ...path: string[]): unknown[] => {
  const found = at(node, ...path)
  return Array.isArray(found) ? found : []
}
const namesAt = (node: unknown, ...path: string[]): string[] =>
  listAt(node, ...path).map(name => wordAt(name, 'String', 'sval'))

const typeOf = (node: unknown): string =>
  (namesAt(node, 'names').at(-1) ?? '') + '[]'.repeat(listAt(node, 'arrayBounds').length)
const relationOf = (range: unknown, name = wordAt(range, 'relname')): string =>
  `relation ${wordAt(range, 'schemaname')}.${name}`
const routineOf = (names: string[], types: string[]): string =>
  `function ${names.join('.')}(${types.join(', ')})`

/** What a statement defines or changes. A table is one object with its columns and constraints. */
function objectsOf(kind: string, node: unknown): string[] {
  switch (kind) {
    case 'CreateStmt':
    case 'AlterTableStmt':
      return [relationOf(at(node, 'relation'))]
    case 'ViewStmt':
      return [relationOf(at(node, 'view'))]
    case 'CreateTableAsStmt':
      return [relationOf(at(node, 'into', 'rel'))]
    case 'IndexStmt':
      return [relationOf(at(node, 'relation'), wordAt(node, 'idxname'))]
    case 'CreateTrigStmt':
      return [`trigger ${wordAt(node, 'trigname')} of ${relationOf(at(node, 'relation'))}`]
    case 'CreatePolicyStmt':
    case 'AlterPolicyStmt':
      return [`policy ${wordAt(node, 'policy_name')} of ${relationOf(at(node, 'table'))}`]
    case 'CreateFunctionStmt':
      return [routineOf(namesAt(node, 'funcname'), inputTypes(node))]
    case 'AlterFunctionStmt':
      return [objectOf('', at(node, 'func'))]
    case 'AlterOwnerStmt':
      return [objectOf(wordAt(node, 'objectType'), at(node, 'relation') ?? at(node, 'object'))]
    case 'CommentStmt':
      return [objectOf(wordAt(node, 'objtype'), at(node, 'object'))]
    case 'GrantStmt':
      return listAt(node, 'objects').map(object => objectOf(wordAt(node, 'objtype'), object))
    case 'DropStmt':
      return listAt(node, 'objects').map(object => objectOf(wordAt(node, 'removeType'), object))
    default:
      return []
  }
}

const inputTypes = (node: unknown): string[] =>
  listAt(node, 'parameters')
    .map(parameter => at(parameter, 'FunctionParameter'))
    .filter(parameter => !['FUNC_PARAM_OUT', 'FUNC_PARAM_TABLE'].includes(wordAt(parameter, 'mode')))
    .map(parameter => typeOf(at(parameter, 'argType')))

/** An object as comments, grants and drops name it. */
function objectOf(type: string, object: unknown): string {
  const routine = at(object, 'ObjectWithArgs') ?? object
  if (at(routine, 'objname') !== undefined)
    return routineOf(
      namesAt(routine, 'objname'),
      listAt(routine, 'objargs').map(argument => typeOf(at(argument, 'TypeName'))),
    )
  const range = at(object, 'RangeVar') ?? object
  if (at(range, 'relname') !== undefined) return relationOf(range)
  const [schema, table, part] = namesAt(object, 'List', 'items')
  if (schema === undefined) {
    const ofType = at(object, 'TypeName')
    return ofType === undefined
      ? `${type} ${wordAt(object, 'String', 'sval')}`
      : `type ${namesAt(ofType, 'names').join('.')}`
  }
  const relation = `relation ${schema}.${table ?? ''}`
  if (type === 'OBJECT_TRIGGER') return `trigger ${part ?? ''} of ${relation}`
  return type === 'OBJECT_POLICY' ? `policy ${part ?? ''} of ${relation}` : relation
}
