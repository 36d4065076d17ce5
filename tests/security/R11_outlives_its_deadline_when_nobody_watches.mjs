// SPDX-License-Identifier: Apache-2.0
// Attack: wait until the services are dead; then nobody ends me.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { isAlive, sandboxPids, until } from '../lib/host.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

claim('the deadline holds when firebreak up, the API and the warden are all dead', async () => {
  const [short, long] = await Promise.all([Sandbox.create({ ...i.sdk, timeoutMs: 4_000 }), Sandbox.create({ ...i.sdk, timeoutMs: 120_000 })])
  await short.commands.run('setsid sleep 1000 >/dev/null 2>&1 &', { user: 'root' })
  const [shorts, longs] = [sandboxPids(short.sandboxId), sandboxPids(long.sandboxId)]
  assert.ok(shorts.length >= 3)
  const began = performance.now()
  i.child.kill('SIGKILL')
  await i.ended
  for (const name of ['e2b-sandbox', 'warden']) {
    const pid = i.daemon(name)
    if (pid) process.kill(pid, 'SIGKILL')
  }
  await until('the services to be dead', 2000, () => !i.daemon('e2b-sandbox') && !i.daemon('warden'))
  assert.ok(shorts.every(isAlive), 'the control: it is alive without the services')
  await until('all of it to be dead', 8000, () => !shorts.some(isAlive))
  const took = performance.now() - began
  assert.ok(took > 1500, `dead after ${took} ms already: that was not the deadline`)
  assert.ok(longs.every(isAlive), 'the neighbour with a later deadline died, too')

  // The next start finds the neighbour, clears away the dead one, and ends clean.
  await i.up()
  assert.equal((await long.commands.run('echo works')).stdout, 'works\n')
  assert.equal(await short.isRunning(), false)
  const r = await i.stop()
  assert.equal(r.code, 0)
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
