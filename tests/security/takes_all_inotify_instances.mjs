// SPDX-License-Identifier: Apache-2.0
// R05: inotify instances are counted against the host's root for all sandboxes together. One that takes all it can get leaves some.
import assert from 'node:assert/strict'
import { claim, withSandboxes } from '../lib/sdk.mjs'

const EMFILE = 24
const take = (n, seconds) => `python3 -c "
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
k = 0
while k < ${n} and libc.inotify_init1(0) >= 0: k += 1
print(k, ctypes.get_errno(), flush=True); time.sleep(${seconds})"`

claim('a sandbox that takes every inotify instance gets its own 64, and its neighbour still has some', async (t) => {
  const [attacker, neighbour] = await withSandboxes(t, 2)
  // Control: it can take them one by one, so that nothing but a count stops it.
  assert.equal((await attacker.commands.run(take(10, 0))).stdout, '10 0\n')
  const attack = await attacker.commands.run(take(1000, 20), { background: true })
  for (let tries = 0; !attack.stdout && tries < 100; tries++) await new Promise((done) => setTimeout(done, 100))
  const [taken, errno] = attack.stdout.trim().split(' ').map(Number)
  assert.equal(errno, EMFILE, attack.stdout) // the named reason
  assert.ok(taken > 0 && taken <= 64, `it took ${taken}`)
  assert.equal((await neighbour.commands.run(take(10, 0))).stdout, '10 0\n')
  await attack.kill()
})
