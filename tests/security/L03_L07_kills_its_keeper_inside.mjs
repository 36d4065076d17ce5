// SPDX-License-Identifier: Apache-2.0
// Attack: stop or kill the agent inside, so that nobody can look at me any more.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { isAlive, monitorPid, sandboxPids } from '../lib/host.mjs'

claim('signals that cannot be caught do not reach process 1 from inside', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([s.kill(), neighbour.kill()]))
  assert.equal((await s.commands.run('sleep 9 & kill -KILL $!; wait $!; echo $?')).stdout, '137\n', 'the control: it does kill others')
  await s.commands.run('kill -KILL 1; kill -STOP 1; kill -KILL -1', { user: 'root' }).catch(() => {})
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  await assert.rejects(s.commands.run('kill -KILL 1'), /not permitted|exit status/)
})

claim('an agent that was made useless is ended from outside all the same', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill().catch(() => {}))
  await s.commands.run('rm -rf /run/* /bin /usr/bin 2>/dev/null', { user: 'root' }).catch(() => {})
  const pids = sandboxPids(s.sandboxId)
  assert.ok(monitorPid(s.sandboxId))
  assert.equal(await s.kill(), true)
  assert.deepEqual(pids.filter(isAlive), [])
})
