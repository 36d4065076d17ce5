// SPDX-License-Identifier: Apache-2.0
// Attack: take over jailmon, the process of the host that stands next to the sandbox. It must have been worth nothing.
import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { monitorPid, sandboxPids, status } from '../lib/host.mjs'

claim('the monitor has no capability, an own uid, a filter, and a root with nothing in it', async (t) => {
  // Control: this process, looked at in the same way, has all that.
  assert.ok(BigInt(`0x${status(process.pid).CapEff}`) !== 0n)
  assert.ok(readdirSync(`/proc/${process.pid}/root/`).length > 5)

  const [a, b] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([a.kill(), b.kill()]))
  const uids = []
  for (const s of [a, b]) {
    const pid = monitorPid(s.sandboxId)
    assert.ok(pid, 'no monitor in the cgroup')
    const m = status(pid)
    assert.equal(m.Name, 'jailmon')
    assert.equal(new Set(m.Uid).size, 1)
    assert.ok(m.Uid[0] > 65536)
    uids.push(m.Uid[0])
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.equal(BigInt(`0x${m[set]}`), 0n, `${set} is ${m[set]}`)
    assert.equal(m.NoNewPrivs, '1')
    assert.equal(m.Seccomp, '2')
    assert.deepEqual(readdirSync(`/proc/${pid}/root/`), [], 'its root is not empty')
    assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/empty') // of the stage, as seen from outside
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/user`), readlinkSync('/proc/self/ns/user'))
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'))
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync('/proc/self/ns/net'))
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    for (const target of open) assert.doesNotMatch(target, /\.erofs|firebreak\.db|api\.key|^\/etc|^\/root|^\/home|^\/dev\/(?!null)/, `it holds ${target}`)
    for (const other of sandboxPids(s.sandboxId).filter((p) => p !== pid)) assert.ok(!status(other).Uid.includes(m.Uid[0]), 'a process inside has the uid of the monitor')
  }
  assert.notEqual(uids[0], uids[1])
})

claim('no process inside sees the monitor', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const r = await s.commands.run('cat /proc/[0-9]*/comm; ls -l /proc/1/exe /proc/1/fd', { user: 'root' }).catch((e) => e)
  assert.match(r.stdout, /^envd$/m, 'the control: the agent is seen')
  assert.doesNotMatch(r.stdout, /jailmon|warden|e2b-sandbox/)
})
