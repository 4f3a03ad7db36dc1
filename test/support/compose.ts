// The compose file as data, for the tests of the container setup.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export interface Service {
  image: string
  command?: string[]
  environment?: Record<string, string | number>
  secrets?: string[]
  volumes?: string[]
  networks: string[]
  ports?: string[]
  profiles?: string[]
  healthcheck?: { test?: string[]; disable?: boolean }
  depends_on?: Record<string, { condition: string }>
  read_only?: boolean
  tmpfs?: string[]
  cap_drop?: string[]
  security_opt: string[]
}
interface Compose {
  services: Record<'postgres' | 'migrate' | 'api' | 'worker' | 'metabase' | 'prometheus' | 'grafana', Service>
  secrets: Record<string, { environment: string }>
  networks: Record<string, { internal?: boolean } | null>
  volumes: Record<string, null>
}

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const read = (file: string) => readFileSync(join(root, file), 'utf8')
export const text = read('docker-compose.yml')
export const { services, networks, volumes, secrets: files } = parse(text) as Compose

const dockerfile = read('Dockerfile').replaceAll('\\\n', '')
/** The stages of the Dockerfile, each with what follows an instruction there. */
export const stages = dockerfile
  .split(/^(?=FROM )/m)
  .slice(1)
  .map(
    stage => (instruction: string) =>
      [...stage.matchAll(new RegExp(`^\\s*${instruction} (.*)$`, 'gm'))].map(([, rest = '']) => rest.trim()),
  )
/** What the image runs, as the API, as the worker and to migrate. */
export const commands = {
  api: JSON.parse(stages.at(-1)?.('CMD').at(-1) ?? '[]') as string[],
  worker: services.worker.command ?? [],
  migrate: services.migrate.command ?? [],
}
