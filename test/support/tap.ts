import root, { Test } from 'tap'

// Files do not use tap's own test, which ends the process when it has been idle for 30 seconds.
root.setTimeout(0)

/** The test that the current file's tests belong to. Files share a process, one after another. */
export let t: Test = root

/** Starts a file: from here on, `t` is a test of its own. */
export function begin(name: string): Test {
  const options: ConstructorParameters<typeof Test>[0] = { name }
  t = new Test(options)
  return t
}
