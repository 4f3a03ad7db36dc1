/** By how much the clock may drift from the time that passes between two looks, in milliseconds. */
const tolerance = 60_000

/** A function that returns by how many seconds the clock was set since it was last called: 0 if it just went on. */
export function watchClock(): () => number {
  const offset = () => Date.now() - performance.now()
  let before = offset()
  return () => {
    const now = offset()
    const set = now - before
    before = now
    return Math.abs(set) > tolerance ? Math.round(set / 1000) : 0
  }
}
