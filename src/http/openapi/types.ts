/** The parts of JSON Schema that the routes use. */
export interface Schema {
  title?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  examples?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  items?: Schema
}

export interface Reference {
  $ref: string
}
interface Media {
  schema: Schema
  example?: unknown
  examples?: Record<string, Reference>
}
export interface Response {
  description: string
  headers?: Record<string, unknown>
  content?: Record<string, Media>
}
export interface Operation {
  operationId: string
  tags?: string[]
  security?: object[]
  parameters?: { in: string; name: string; schema: Schema; example?: unknown }[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Response | Reference>
  'x-permission'?: string
  'x-problems'?: string[]
}
/** An OpenAPI document, as far as this program uses it. */
export interface Document {
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, unknown>>
}
