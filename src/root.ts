/** The folder of package.json and db/. It is one level above src/ and dist/, so this file must not move deeper. */
export const root = new URL('..', import.meta.url)
