import type { TestServer } from './helper.ts'

interface Media {
  schema: object
  example?: unknown
  examples?: Record<string, { $ref: string }>
}
export interface Response {
  $ref?: string
  description?: string
  headers?: Record<string, object>
  content?: Record<string, Media>
}
interface Parameter {
  in: 'path' | 'query' | 'header'
  name: string
  schema: object
  example: string | number
}
export interface Operation {
  operationId: string
  summary: string
  description: string
  tags: string[]
  security?: object[]
  'x-permission'?: string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Response>
}
export interface Document {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, { summary: string; value: unknown }>>
}

/** The served document, and what tests do with it. */
export async function readDocument({ app, call }: TestServer) {
  const { body: text } = await app.inject('/openapi.json')
  const document = JSON.parse(text) as Document
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  )

  /** Every response of an operation with its status. */
  const responsesOf = ({ responses }: Operation) =>
    Object.entries(responses).map(([status, response]): [number, Response] => {
      const shared = response.$ref?.replace('#/components/responses/', '')
      return [
        Number(status),
        shared === undefined ? response : (document.components.responses?.[shared] as Response),
      ]
    })

  /** Sends the document's example; ids can be replaced by those of existing things. */
  const callExample = (
    name: string,
    { parameters = [], requestBody }: Operation,
    token?: string,
    ids: Record<string, string> = {},
  ) => {
    let url = name
    const query = new URLSearchParams()
    const headers: Record<string, string> = {}
    for (const { in: place, name: key, example } of parameters) {
      const resource = /\/([\w-]+)\/\{id\}/.exec(name)?.[1] ?? ''
      if (place === 'path')
        url = url.replace(`{${key}}`, (key === 'id' ? ids[resource] : undefined) ?? String(example))
      else if (place === 'header') headers[key] = String(example)
      // A cursor belongs to one list in one order; an example can only show its form.
      else if (key !== 'cursor') query.set(key, String(example))
    }
    if (headers['if-match'] !== undefined && ids.shows !== undefined) headers['if-match'] = '"1"'
    const example = requestBody?.content['application/json']?.example as Record<string, unknown> | undefined
    const body = example && {
      ...example,
      ...('venue_id' in example && { venue_id: ids.venues }),
      ...('category_id' in example &&
        ids['finance-categories'] !== undefined && {
          category_id: ids['finance-categories'],
          ...('show_id' in example && { show_id: ids.shows }),
          ...('itinerary_id' in example && { itinerary_id: ids.itineraries }),
        }),
    }
    return call<{ type?: string }>(`${url}?${query.toString()}` as `${string} ${string}`, {
      token,
      headers,
      body,
    })
  }

  return { text, document, operations, responsesOf, callExample }
}
