import { listOf } from './itinerary-part.ts'
import { itineraries } from './shapes.ts'

/** The itineraries that the reader may see, for exports. */
export const exportedItineraries = listOf(itineraries)
