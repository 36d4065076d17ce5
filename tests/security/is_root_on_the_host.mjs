// SPDX-License-Identifier: Apache-2.0
// Attack: be root inside, and hope that the host takes me for root as well.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { monitorPid, sandboxPids, status, until, UIDS_PER_SANDBOX } from '../lib/host.mjs'

const zero = (set) => BigInt(`0x${set}`) === 0n

claim('root inside is nobody on the host', async (t) => {
  // Control: a process of the host's root does show uid 0 and capabilities by the same way of looking.
  assert.equal(status(process.pid).Uid[0], 0)
  assert.ok(!zero(status(process.pid).CapEff))

  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const marker = await s.commands.run('exec -a marker-of-root sleep 50', { user: 'root', background: true })
  const inside = await s.commands.run(`cat /proc/${marker.pid}/status`, { user: 'root' })
  assert.match(inside.stdout, /^Uid:\s+0\s+0\s+0\s+0$/m, 'the probe is not root inside')

  const pids = await until('its processes on the host', 5000, () => {
    const p = sandboxPids(s.sandboxId)
    return p.length >= 3 ? p : null
  })
  const first = status(monitorPid(s.sandboxId)).Uid[0] - (UIDS_PER_SANDBOX - 1)
  assert.ok(first >= 65536)
  for (const pid of pids) {
    const p = status(pid)
    if (!p) continue
    for (const id of [...p.Uid, ...p.Gid]) assert.ok(id >= first && id < first + UIDS_PER_SANDBOX, `pid ${pid} (${p.Name}) has id ${id} on the host`)
    for (const group of p.Groups.split(' ').filter(Boolean).map(Number)) assert.ok(group >= first && group < first + UIDS_PER_SANDBOX, `pid ${pid} is in group ${group} of the host`)
  }
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})

claim('root inside has eight capabilities, no way to more, and a filter', async (t) => {
  assert.equal(status(process.pid).NoNewPrivs, '0')
  assert.equal(status(process.pid).Seccomp, '0')

  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE
  const most = [0, 1, 3, 4, 5, 6, 7, 10].reduce((set, bit) => set | (1n << BigInt(bit)), 0n)
  for (const [who, whose] of [['root', 'self'], ['user', 'self'], ['root', '1']]) {
    const fields = Object.fromEntries((await s.commands.run(`cat /proc/${whose}/status`, { user: who })).stdout.trim().split('\n').map((l) => l.split(/:\s*/)))
    assert.equal(fields.NoNewPrivs, '1', `${who} ${whose}`)
    assert.equal(fields.Seccomp, '2', `${who} ${whose}`)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(BigInt(`0x${fields[set]}`) & ~most, 0n, `${set} of ${who}, process ${whose}, is ${fields[set]}`)
    if (who === 'user') assert.ok(zero(fields.CapEff))
  }
})
