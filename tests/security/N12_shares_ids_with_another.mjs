// SPDX-License-Identifier: Apache-2.0
// Attack: get the host user ids of another sandbox, one that runs or one that has just ended, and with them its processes and files.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { firstUid, isAlive, pidsWithUids, sandboxPids, status, UIDS_PER_SANDBOX } from '../lib/host.mjs'

claim('ranges are disjoint while anything of their owner is there', { timeout: 120_000 }, async (t) => {
  const living = new Map()
  t.after(() => Promise.all([...living.values()].map((s) => s.sandbox.kill().catch(() => {}))))
  const start = async () => {
    const sandbox = await Sandbox.create({ timeoutMs: 120_000 })
    const first = firstUid(sandbox.sandboxId)
    assert.ok(first >= 65536)
    for (const [id, other] of living) assert.ok(Math.abs(other.first - first) >= UIDS_PER_SANDBOX, `${sandbox.sandboxId} overlaps ${id}`)
    // Whoever has a uid of the range is in the sandbox's own groups.
    const own = new Set(sandboxPids(sandbox.sandboxId))
    for (const pid of pidsWithUids(first, UIDS_PER_SANDBOX)) assert.ok(own.has(pid) || !isAlive(pid), `process ${pid} ${status(pid)?.Name} of somebody else has an id of the range`)
    living.set(sandbox.sandboxId, { sandbox, first })
    return sandbox
  }
  await Promise.all([start(), start(), start(), start(), start(), start()])
  const seen = new Set([...living.values()].map((s) => s.first))
  assert.equal(seen.size, 6, 'the control: six sandboxes, six ranges')
  // Ended while they fork, and replaced at once.
  for (let round = 0; round < 12; round++) {
    const [id, { sandbox, first }] = [...living][round % living.size]
    await sandbox.commands.run('(while :; do (sleep 0.01 &); done) >/dev/null 2>&1 &')
    await sandbox.kill()
    living.delete(id)
    assert.deepEqual(pidsWithUids(first, UIDS_PER_SANDBOX), [])
    await start()
  }
  for (const { sandbox } of living.values()) assert.equal((await sandbox.commands.run('echo works')).stdout, 'works\n')
})
