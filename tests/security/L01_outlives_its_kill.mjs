// SPDX-License-Identifier: Apache-2.0
// Attack: leave a process behind that survives the kill of the sandbox: daemons, ignored signals, stopped ones, very many.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs, firstUid, isAlive, mounts, pidsWithUids, sandboxPids, UIDS_PER_SANDBOX, until } from '../lib/host.mjs'

claim('two hundred daemons that ignore every signal are gone with the sandbox', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([s.kill().catch(() => {}), neighbour.kill()]))
  await s.commands.run(`python3 - >/dev/null 2>&1 <<'E'
import os, signal, time
for i in range(200):
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0: os._exit(0)
        for n in range(1, 65):
            try: signal.signal(n, signal.SIG_IGN)
            except (OSError, ValueError): pass
        if i % 4 == 0: os.kill(os.getpid(), signal.SIGSTOP)
        while True: time.sleep(100)
    else: os.wait()
E`, { user: 'root' })
  const first = firstUid(s.sandboxId)
  const pids = sandboxPids(s.sandboxId)
  assert.ok(pids.length > 200, `only ${pids.length} processes: the attack did not take place`)
  assert.ok(pidsWithUids(first, UIDS_PER_SANDBOX).length > 200)
  const began = performance.now()
  assert.equal(await s.kill(), true)
  console.error(`# kill of ${pids.length} processes took ${(performance.now() - began).toFixed(0)} ms`)
  assert.deepEqual(pids.filter(isAlive), [], 'processes are alive after the answer')
  assert.deepEqual(pidsWithUids(first, UIDS_PER_SANDBOX), [])
  await until('its groups to be removed', 2000, () => cgroupDirs(s.sandboxId).length === 0)
  assert.deepEqual(mounts(s.sandboxId), [])
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
})

claim('a sandbox that forks while it is killed is gone all the same', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill().catch(() => {}))
  await s.commands.run('f() { while :; do (sleep 0.01 &) ; done; }; for i in 1 2 3 4; do f & done; sleep 100', { background: true, user: 'root' })
  await until('it to fork', 5000, () => sandboxPids(s.sandboxId).length > 8)
  const first = firstUid(s.sandboxId)
  assert.equal(await s.kill(), true)
  assert.deepEqual(pidsWithUids(first, UIDS_PER_SANDBOX), [])
  await until('its groups to be removed', 2000, () => cgroupDirs(s.sandboxId).length === 0)
})

claim('a parent in vfork, a reader of a pipe without a writer, a foster parent and stopped ones are gone, too', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([s.kill().catch(() => {}), neighbour.kill()]))
  await s.commands.run(`mkfifo /tmp/pipe; setsid python3 - >/dev/null 2>&1 <<'E' &
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
for i in range(10):
    if os.fork() == 0:
        os.setsid()
        open('/tmp/pipe').read()
for i in range(10):
    if os.fork() == 0:
        # clone(CLONE_VM | CLONE_VFORK | SIGCHLD): the parent sleeps in the kernel until the child ends, which it does not.
        if libc.syscall(56, 0x4000 | 17, 0, 0, 0, 0) == 0:
            while True: time.sleep(100)
for i in range(10):
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True: time.sleep(100)
    os.kill(pid, signal.SIGSTOP)
while True: time.sleep(100)
E`, { user: 'root' })
  await until('it to have forked', 10_000, () => sandboxPids(s.sandboxId).length > 40)
  const first = firstUid(s.sandboxId)
  const pids = sandboxPids(s.sandboxId)
  assert.ok(pids.every(isAlive), 'the control: all of them live')
  assert.equal(await s.kill(), true)
  assert.deepEqual(pids.filter(isAlive), [])
  assert.deepEqual(pidsWithUids(first, UIDS_PER_SANDBOX), [])
  await until('its groups to be removed', 2000, () => cgroupDirs(s.sandboxId).length === 0)
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
})
