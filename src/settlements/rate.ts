import { Type } from '@sinclair/typebox'

/** A rate of a settlement, in percent. */
export const rate = (description: string, example: number) =>
  Type.Number({
    minimum: 0,
    maximum: 100,
    description: `${description}, in percent, exact to six decimals`,
    examples: [example],
  })
