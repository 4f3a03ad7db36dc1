// Programs by somebody who knows the API only from its document.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { root, run } from './program.ts'

/** As strict as TypeScript gets. */
const tsconfig = {
  compilerOptions: {
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    target: 'es2022',
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
    rewriteRelativeImportExtensions: true,
    rootDir: '.',
    outDir: 'out',
  },
  files: ['program.ts'],
}

/** Puts a program beside `api.ts`, the types that are generated from the document of the server at `url`. */
export async function writeProgram(t: Test, url: string, program: string) {
  // Within the checkout, so that the program finds openapi-fetch.
  await mkdir(join(root, '.data'), { recursive: true })
  const folder = await mkdtemp(join(root, '.data/client-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'program.ts'), program)
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
  return {
    generate: () =>
      run('node_modules/.bin/openapi-typescript', `${url}/openapi.json`, '-o', join(folder, 'api.ts')),
    compile: () => run('node_modules/.bin/tsc', '-p', folder),
    run: (...args: string[]) => run(process.execPath, join(folder, 'out/program.js'), url, ...args),
  }
}
