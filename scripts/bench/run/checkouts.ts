import { schedule } from '../../../src/jobs/schedule.ts'
import { refreshing } from '../data/figures.ts'
import { root } from './programs.ts'

/** A checkout of Callboard. */
export interface Checkout {
  folder: string
  title: string
  /** The statements with which its worker refreshes figures. */
  refreshing: string[]
}

export const own: Checkout = { folder: root, title: 'Callboard', refreshing: refreshing(schedule) }
