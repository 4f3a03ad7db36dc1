// `npm run build` bundles the programs that an image runs into dist/, so that Node starts them without tsx, sooner
// and in less memory. The packages they import stay in node_modules.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build as bundle } from 'esbuild'
import { readArguments } from '../src/arguments.ts'
import { root } from '../src/root.ts'

/** What is built, by the name that it has in dist/. */
export const programs = {
  server: 'src/server.ts',
  worker: 'src/worker.ts',
  migrate: 'scripts/db/migrate.ts',
  'audit-verify': 'scripts/audit-verify.ts',
  'audit-policies': 'scripts/policies/audit-policies.ts',
  'review-access': 'scripts/policies/review-access.ts',
  bi: 'scripts/bi.ts',
  restored: 'scripts/restored.ts',
  support: 'scripts/support/support.ts',
  'support-grant': 'scripts/support/support-grant.ts',
}

/** Builds the programs into a folder, which is emptied, and returns the modules that they import from elsewhere. */
export async function build(folder: string): Promise<string[]> {
  const checkout = fileURLToPath(root)
  await rm(folder, { recursive: true, force: true })
  const { metafile } = await bundle({
    absWorkingDir: checkout,
    entryPoints: programs,
    outdir: folder,
    bundle: true,
    packages: 'external',
    // What is imported only when it is needed stays a file of its own.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // Stacks name the files of src/, of which nobody needs a copy.
    sourcemap: true,
    sourcesContent: false,
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    metafile: true,
    logLevel: 'warning',
  })
  const imports = Object.values(metafile.outputs).flatMap(output => output.imports)
  return [...new Set(imports.filter(({ external }) => external).map(({ path }) => path))]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  readArguments('Usage: npm run build\nBundles the programs that an image runs into dist/.', {})
  await build(join(fileURLToPath(root), 'dist'))
}
