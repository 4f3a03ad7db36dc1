/** Waits for work, and rejects if it takes too long. */
export async function within(milliseconds: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`it took longer than ${milliseconds / 1000} seconds`))
    }, milliseconds)
  })
  await Promise.race([work, late]).finally(() => {
    clearTimeout(timer)
  })
}
