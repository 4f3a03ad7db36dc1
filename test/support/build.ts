// Compiles the checkout once, so that neither a test file nor a program that it starts has to. The
// result mirrors the checkout: src, scripts and test with a .js beside each .ts, everything else linked.
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { transform } from 'esbuild'

const compiled = ['src', 'scripts', 'test']
// Neither the output of runs nor the history.
const unused = new Set([...compiled, '.git', '.data', '.tap'])
const relativeImport = /(\b(?:from|import) ?\(?'\.[^'\n]*)\.ts'/g

// The benchmark's peers have packages of their own, if somebody has installed them.
const isOurs = (path: string) => !path.endsWith('/node_modules') && !path.includes('/node_modules/')

/** Creates the mirror, in a folder that does not exist yet. */
export async function build(checkout: string, mirror: string): Promise<void> {
  await mkdir(mirror, { recursive: true })
  for (const name of await readdir(checkout))
    if (!unused.has(name)) await symlink(join(checkout, name), join(mirror, name))
  for (const folder of compiled) {
    await cp(join(checkout, folder), join(mirror, folder), { recursive: true, filter: isOurs })
    const names = (await readdir(join(checkout, folder), { recursive: true })).filter(isOurs)
    await Promise.all(
      names
        .filter(name => name.endsWith('.ts'))
        .map(async name => {
          const source = join(checkout, folder, name)
          const { code } = await transform(
            (await readFile(source, 'utf8')).replaceAll(relativeImport, "$1.js'"),
            {
              loader: 'ts',
              format: 'esm',
              target: 'es2023',
              // Failures and coverage refer to the checkout.
              sourcefile: source,
              sourcemap: 'inline',
              sourcesContent: false,
              tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
            },
          )
          await writeFile(join(mirror, folder, name.replace(/ts$/, 'js')), code)
        }),
    )
  }
}

/** Converts V8's coverage of the mirror into that of the checkout. */
export async function attribute(coverage: string, checkout: string, mirror: string): Promise<void> {
  const url = `file://${mirror}/`
  for (const name of await readdir(coverage)) {
    const [before = '', ...rest] = (await readFile(join(coverage, name), 'utf8')).split(url)
    if (rest.length === 0) continue
    const text = rest.map(part => `file://${checkout}/${part.replace(/^([^"]*)\.js"/, '$1.ts"')}`)
    await writeFile(join(coverage, name), [before, ...text].join(''))
  }
}
