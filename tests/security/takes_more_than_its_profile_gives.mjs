// SPDX-License-Identifier: Apache-2.0
// Attack: use what another profile of system calls would give.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { api, claim, Sandbox } from '../lib/sdk.mjs'
import { variantOfBase } from '../lib/image.mjs'

const ptrace = `python3 -c '
import ctypes, errno, os, signal
c = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if pid == 0:
    signal.pause()
r = c.ptrace(0x4206, pid, 0, 0)
print("got through" if r == 0 else errno.errorcode[ctypes.get_errno()])
os.kill(pid, 9)'`
const shm = `python3 -c '
import ctypes, errno
c = ctypes.CDLL(None, use_errno=True)
r = c.shmget(0, 4096, 0o1600)
print("got through" if r >= 0 else errno.errorcode[ctypes.get_errno()])'`
const netlink = `python3 -c '
import socket, errno
try: socket.socket(16, 3, 0); print("got through")
except OSError as e: print(errno.errorcode[e.errno])'`
const nested = 'unshare --user --map-root-user --mount sh -c "mount -t tmpfs none /mnt && echo got through" 2>&1 | tail -1'

const made = []
const sandbox = {}
before(async () => {
  for (const [key, recipe] of Object.entries({ default: {}, strict: { seccomp: 'strict' }, debug: { seccomp: 'debug' }, userns: { userNamespaces: true } })) {
    const template = variantOfBase(recipe)
    made.push(template)
    sandbox[key] = await Sandbox.create(template.name, { timeoutMs: 300_000 })
  }
})
after(async () => {
  await Promise.all(Object.values(sandbox).map((s) => s.kill()))
  made.forEach((t) => t.remove())
})
const ask = async (key, command, user = 'root') => (await sandbox[key].commands.run(command, { user })).stdout.trim()

claim('the report names the profile', async () => {
  for (const [key, name] of [['default', 'default'], ['strict', 'strict'], ['debug', 'debug'], ['userns', 'default']])
    assert.equal((await api('GET', `/sandboxes/${sandbox[key].sandboxId}`)).json.isolation.seccompProfile, name)
})

claim('ptrace is for debug, where it ends at the own processes', async () => {
  assert.equal(await ask('debug', ptrace), 'got through', 'the control')
  for (const key of ['default', 'strict', 'userns']) assert.equal(await ask(key, ptrace), 'EPERM', key)
})

claim('System V memory and netlink are not for strict, whose ordinary programs run', async () => {
  for (const [what, command] of Object.entries({ shm, netlink })) {
    assert.equal(await ask('default', command), 'got through', `the control: ${what}`)
    assert.equal(await ask('strict', command), 'EPERM', what)
  }
  assert.equal(await ask('strict', 'python3 -c "import subprocess, threading, json; print(subprocess.check_output([\'echo\', \'works\']).decode().strip())"'), 'works')
  assert.equal(await ask('strict', 'node -e "console.log(require(\'os\').cpus().length > 0 && \'works\')"; git --version > /dev/null && echo works'), 'works\nworks')
})

claim('user namespaces are for the template that asks for them, and give nothing of the kernel besides', async () => {
  assert.equal(await ask('userns', nested, 'user'), 'got through', 'the control')
  for (const key of ['default', 'strict', 'debug']) assert.match(await ask(key, nested, 'user'), /Operation not permitted/, key)
  // Root is not among the ids that a nested namespace may have: that would need CAP_SETFCAP.
  assert.match(await ask('userns', nested), /uid_map: Operation not permitted/)
  // What an administrator of a nested namespace would like to have.
  const as = (command) => ask('userns', command, 'user')
  const inside = (command) => `unshare --user --map-root-user --mount --net --pid --fork sh -c '${command}' 2>&1 | grep -v dmesg | tail -1`
  assert.match(await as(inside('mount -t proc proc /proc')), /permission denied|not permitted/i)
  assert.match(await as(inside('mount -t sysfs sys /sys')), /permission denied|not permitted/i)
  assert.match(await as(inside('mount -t cgroup2 none /mnt')), /permission denied|not permitted/i)
  assert.match(await as(inside('umount /proc/sys')), /not permitted|invalid argument|not mounted/i)
  assert.match(await as(inside('mount -o remount,bind,rw /proc/sys')), /permission denied|not permitted/i)
  assert.match(await as(inside('python3 -c "import socket; socket.socket(16, 3, 12)"')), /PermissionError/)
  assert.match(await as(inside('python3 -c "import socket; socket.socket(17, 3, 3)"')), /PermissionError/)
  assert.equal(await as('cat /proc/sys/kernel/core_pattern > /dev/null; unshare --user --map-root-user sh -c "echo x > /proc/sys/kernel/core_pattern" 2>&1 | grep -c -i -e read-only -e denied'), '1')
})

claim('a template with an unknown profile is not used', async (t) => {
  const template = variantOfBase({ seccomp: 'none' })
  t.after(() => template.remove())
  const r = await api('POST', '/v2/sandboxes', { body: { templateID: template.name } })
  assert.ok(r.status >= 400, r.text)
})
