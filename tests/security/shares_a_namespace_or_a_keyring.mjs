// SPDX-License-Identifier: Apache-2.0
// Attack (T5): meet the host or a neighbour in something that the kernel keeps for all who share it.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { claim, withSandboxes } from '../lib/sdk.mjs'
import { firstUid, monitorPid, sandboxPids, until } from '../lib/host.mjs'

const kinds = ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'time']
const of = (pid) => Object.fromEntries(kinds.map((k) => [k, readlinkSync(`/proc/${pid}/ns/${k}`)]))

claim('all eight namespaces are its own, the clock and the cgroup root among them', async (t) => {
  const [a, b] = await withSandboxes(t, 2)
  const [first, second, host] = [a, b].map((s) => of(sandboxPids(s.sandboxId).find((p) => p !== monitorPid(s.sandboxId)))).concat(of(process.pid))
  const control = of(process.ppid)
  for (const k of kinds) {
    assert.equal(control[k], host[k], 'the control: two programs of the host do share it')
    assert.equal(new Set([first[k], second[k], host[k]]).size, 3, `${k} is shared`)
  }
})

claim('inside, the groups of the host have no names and the clock cannot be set', async (t) => {
  const [s] = await withSandboxes(t, 1)
  const r = await s.commands.run('cut -d: -f3 /proc/1/cgroup | sort -u; cat /proc/self/timens_offsets; echo "monotonic 5 0" > /proc/self/timens_offsets', { user: 'root' }).catch((e) => e)
  assert.match(r.stdout, /^\/\n/)
  assert.doesNotMatch(r.stdout, /e2b-sandbox/)
  assert.match(r.stderr, /denied|not permitted|File exists|Read-only/i)
})

claim('its session keyring is its own and nobody of the host is in it', async (t) => {
  const [a, b] = await withSandboxes(t, 2)
  // /proc/keys shows what the reader owns: read as each sandbox's root, outside of it.
  const keysOf = (s) => {
    const uid = String(firstUid(s.sandboxId))
    return spawnSync('setpriv', ['--reuid', uid, '--regid', uid, '--clear-groups', 'cat', '/proc/keys'], { encoding: 'utf8' }).stdout
  }
  const sessions = (s) => keysOf(s).split('\n').filter((l) => / _ses/.test(l)).map((l) => l.split(' ')[0])
  // The kernel takes its time to collect that of the sandbox which had these uids before.
  await until('one session keyring each', 20000, () => [a, b].every((s) => sessions(s).length === 1))
  const [first, second] = [sessions(a), sessions(b)]
  assert.notEqual(first[0], second[0])
  // Inside, the list itself is masked, and the calls are tripwires (keeps_a_key_in_the_kernel.c, reads_a_keyring.c).
  assert.equal((await a.commands.run('cat /proc/keys /proc/key-users | wc -c', { user: 'root' })).stdout, '0\n')
})

claim('what one puts into /dev/shm the other does not see, nor the host', async (t) => {
  const [a, b] = await withSandboxes(t, 2)
  await a.commands.run('echo secret > /dev/shm/meeting-point-of-firebreak; ls /dev/shm')
  const look = 'ls -A /dev/shm'
  assert.equal((await a.commands.run(look)).stdout, 'meeting-point-of-firebreak\n', 'the control')
  assert.equal((await b.commands.run(look)).stdout, '')
  assert.doesNotMatch(spawnSync('ls', ['-A', '/dev/shm'], { encoding: 'utf8' }).stdout, /meeting-point-of-firebreak/)
})
