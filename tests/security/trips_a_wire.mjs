// SPDX-License-Identifier: Apache-2.0
// Attack (K01-K03, N01, N06): feel for the kernel's openings, quietly. It must be heard, and making noise must not help.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { api, claim, http, Sandbox } from '../lib/sdk.mjs'
import { freezer, isAlive, monitorPid, sandboxPids, until } from '../lib/host.mjs'

const calls = { bpf: 321, perf_event_open: 298, setns: 308, userfaultfd: 323, io_uring_setup: 425, keyctl: 250, open_by_handle_at: 304, kexec_load: 246, init_module: 175, fsopen: 430 }
const python = (nr) => `python3 -c 'import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); r = c.syscall(${nr}, 0, 0, 0, 0, 0); print(r, errno.errorcode.get(ctypes.get_errno()))'`
const log = (id) => readFileSync(process.env.FIREBREAK_T_LOG, 'utf8').split('\n').filter((l) => l.includes(id) && /event=tripwire/.test(l))
const isolation = async (id) => (await api('GET', `/sandboxes/${id}`)).json.isolation
const metric = async () => Number(/^e2b_tripwires_total (\d+)$/m.exec((await http('GET', '/metrics')).text)?.[1])

claim('every tripwire is refused, named with its number and a pid, and counted', async (t) => {
  const outside = spawnSync('sh', ['-c', python(calls.userfaultfd).replace('0, 0, 0, 0, 0', '1, 0, 0, 0, 0')], { encoding: 'utf8' })
  assert.doesNotMatch(outside.stdout, /^-1/, 'the control: outside userfaultfd cannot be had, so this machine shows nothing')
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  assert.deepEqual(log(s.sandboxId), [])
  const first = await s.commands.run(python(calls.io_uring_setup))
  assert.equal(first.stdout, '-1 EPERM\n')
  await until('the first to be heard', 5000, () => log(s.sandboxId).length === 1)
  assert.match(log(s.sandboxId)[0], /level=info .*event=tripwire .*syscall=io_uring_setup nr=425 pid=\d+/)
  for (const [name, nr] of Object.entries(calls)) assert.equal((await s.commands.run(python(nr))).stdout, '-1 EPERM\n', name)
  await until('all to be heard', 5000, () => Object.keys(calls).every((name) => log(s.sandboxId).some((l) => l.includes(`syscall=${name} `))))
  const alarms = log(s.sandboxId).filter((l) => /level=warn .*event=tripwire_alarm/.test(l))
  assert.equal(alarms.length, 1, 'two distinct ones within a minute are one alarm')
  const i = await isolation(s.sandboxId)
  assert.equal(i.tripwires, Object.keys(calls).length + 1)
  assert.equal(i.tripwireAlarms, 1)
  assert.equal(i.seccompProfile, 'default')
})

claim('clone with CLONE_NEWUSER and unshare are heard, and an ordinary fork is not', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  await s.commands.run('for i in 1 2 3 4 5; do /bin/true; done; python3 -c "import threading; threading.Thread(target=print).start()"')
  assert.equal((await isolation(s.sandboxId)).tripwires, 0)
  await s.commands.run('unshare --user true || true')
  await s.commands.run(python(`56, 0x10000011`)) // clone
  assert.equal((await isolation(s.sandboxId)).tripwires, 2)
})

claim('a flood of them neither starves the monitor nor fills the log, and the total stays after the end', async (t) => {
  const before = await metric()
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const other = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => other.kill())
  const flood = `import ctypes, os
c = ctypes.CDLL(None)
for _ in range(63):
    if os.fork() == 0: break
while True: c.syscall(321, 0, 0, 0)`
  await s.files.write('/tmp/flood.py', flood)
  await s.commands.run('exec python3 /tmp/flood.py', { background: true, timeoutMs: 0 })
  await until('the flood to be under way', 20000, async () => (await isolation(s.sandboxId)).tripwires > 20000)
  const began = performance.now()
  // All that the monitor has to do, while it lasts: numbers, connections, the deadline, freezing is in the next claim.
  let last = 0
  for (let i = 0; i < 20; i++) {
    const now = await isolation(s.sandboxId)
    assert.ok(now.tripwires > last, 'the flood has dried up, so this shows nothing')
    last = now.tripwires
    assert.equal(now.evidence.startsWith('read from'), true, now.evidence)
    await s.setTimeout(100_000 + i * 1000)
  }
  assert.equal((await s.commands.run('echo works', { timeoutMs: 30000 })).stdout, 'works\n')
  assert.equal((await other.commands.run('echo works')).stdout, 'works\n')
  const seconds = (performance.now() - began) / 1000
  assert.ok(log(s.sandboxId).length < 40 + 2 * seconds, `${log(s.sandboxId).length} lines`)
  console.log(`# ${last} tripwires in the flood`)
  await s.kill()
  await until('the total to hold those of the dead', 5000, async () => (await metric()) >= before + last)
})

claim('who is frozen while it waits for the answer goes on when it is thawed, dies when it is killed, and never keeps the monitor waiting', async (t) => {
  const [s, neighbour] = await Promise.all([1, 2].map(() => Sandbox.create({ timeoutMs: 120_000 })))
  t.after(() => Promise.all([s.kill().catch(() => {}), neighbour.kill()]))
  await s.commands.run(`for i in 1 2 3 4; do python3 -c 'import ctypes
while True: ctypes.CDLL(None).syscall(321, 0, 0, 0)' & done; wait`, { background: true, timeoutMs: 0 })
  const count = async () => (await isolation(s.sandboxId)).tripwires
  await until('the flood to be under way', 20000, async () => (await count()) > 100)
  const f = freezer(s.sandboxId)
  for (let i = 0; i < 10; i++) {
    f.freeze() // most of the time one or another of the four waits just then
    await until('it to be frozen', 5000, () => (f.freeze(), f.isFrozen()))
    const asleep = await until('the number to stand', 5000, async () => {
      const before = await count()
      return (await count()) === before && before
    })
    await s.setTimeout(100_000 + i * 1000) // the monitor serves
    assert.equal(await count(), asleep, 'who is frozen has made calls')
    f.thaw()
    await until('the flood to go on', 5000, async () => (await count()) > asleep)
  }
  f.freeze()
  await until('it to be frozen', 5000, () => (f.freeze(), f.isFrozen()))
  const all = sandboxPids(s.sandboxId)
  assert.equal(await s.kill(), true)
  assert.deepEqual(all.filter(isAlive), [])
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
})

claim('the death of the monitor in the middle of a flood is the death of the sandbox', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  await s.commands.run(`exec python3 -c 'import ctypes
while True: ctypes.CDLL(None).syscall(321, 0, 0, 0)'`, { background: true, timeoutMs: 0 })
  await until('the flood to be under way', 20000, async () => (await isolation(s.sandboxId)).tripwires > 100)
  const all = sandboxPids(s.sandboxId)
  process.kill(monitorPid(s.sandboxId), 'SIGKILL')
  await until('every process of it to be gone', 10000, () => !all.some(isAlive))
})
