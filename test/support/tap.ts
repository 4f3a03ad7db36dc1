import { createHook } from 'node:async_hooks'
import type { Test } from 'tap'

// For each promise of the process, tap looks up which test an error that nobody catches would belong to: a sixth of all
// the CPU. It then leaves the error to handlers such as those of worker.ts, so the hook that it makes is not enabled.
const hooks = Object.getPrototypeOf(createHook({})) as { enable: (this: unknown) => unknown }
const { enable } = hooks
hooks.enable = function () {
  return this
}
const { default: root, Test: TapTest } = await import('tap').finally(() => {
  hooks.enable = enable
})

// Files do not use tap's own test, which ends the process when it has been idle for 30 seconds.
root.setTimeout(0)

/** The test that the current file's tests belong to. Files share a process, one after another. */
export let t: Test = root

/** Starts a file: from here on, `t` is a test of its own. */
export function begin(name: string): Test {
  const options: ConstructorParameters<typeof TapTest>[0] = { name }
  t = new TapTest(options)
  return t
}
