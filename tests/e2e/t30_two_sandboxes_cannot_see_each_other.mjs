// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, Sandbox, http, into } from '../lib/sdk.mjs'
import { firstUid, sandboxPids, status, UIDS_PER_SANDBOX, until } from '../lib/host.mjs'

let a, b
before(async () => {
  ;[a, b] = await Promise.all([Sandbox.create({ timeoutMs: 300_000 }), Sandbox.create({ timeoutMs: 300_000 })])
})
after(() => Promise.all([a?.kill(), b?.kill()]))
const asRoot = { user: 'root' }

claim('files of one are not in the other, whatever root writes', async () => {
  await a.commands.run('echo of-a | tee /tmp/of-a /root/of-a /etc/of-a /dev/shm/of-a /run/of-a /usr/bin/of-a >/dev/null', asRoot)
  assert.equal((await a.commands.run('cat /etc/of-a', asRoot)).stdout, 'of-a\n')
  const r = await b.commands.run('ls /tmp/of-a /root/of-a /etc/of-a /dev/shm/of-a /run/of-a /usr/bin/of-a 2>/dev/null; find / -xdev -name of-a 2>/dev/null', asRoot).catch((e) => e)
  assert.equal(r.stdout, '')
})

claim('processes of one are not visible in the other', async () => {
  await a.commands.run('exec -a canary-of-a sleep 200', { background: true })
  await until('the canary', 5000, async () => /canary-of-a/.test((await a.commands.run('cat /proc/[0-9]*/cmdline | tr "\\0" " "', asRoot)).stdout))
  assert.doesNotMatch((await b.commands.run('cat /proc/[0-9]*/cmdline | tr "\\0" " "', asRoot)).stdout, /canary-of-a/)
  const count = Number((await b.commands.run('ls -d /proc/[0-9]* | wc -l', asRoot)).stdout)
  assert.ok(count < 8, `${count} processes are visible in an idle sandbox`)
})

claim('a loopback port of one is closed in the other', async () => {
  await a.commands.run('cd /tmp && python3 -m http.server 8080 --bind 127.0.0.1', { background: true, timeoutMs: 0 })
  await until('the server of a', 10000, async () => (await http('GET', '/', { headers: into(a, 8080) })).status === 200)
  assert.match((await a.commands.run('curl -s http://127.0.0.1:8080/')).stdout, /Directory listing/)
  await assert.rejects(b.commands.run('curl -sS http://127.0.0.1:8080/'), (e) => e.exitCode === 7)
  assert.equal((await http('GET', '/', { headers: into(b, 8080) })).status, 502)
})

claim('abstract sockets, System V memory and message queues are apart', async () => {
  await a.commands.run(`python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX); s.bind('\\0of-a'); s.listen()
print('bound', flush=True); time.sleep(100)"`, { background: true })
  await a.commands.run('ipcmk -M 4096 >/dev/null')
  await until('the socket of a', 5000, async () => /@of-a/.test((await a.commands.run('cat /proc/net/unix')).stdout))
  assert.doesNotMatch((await b.commands.run('cat /proc/net/unix')).stdout, /@of-a/)
  assert.match((await a.commands.run('ipcs -m')).stdout, /0x/)
  assert.doesNotMatch((await b.commands.run('ipcs -m')).stdout, /0x/)
})

claim('the host sees each in its own range of uids, and none as root', async () => {
  const [ua, ub] = [firstUid(a.sandboxId), firstUid(b.sandboxId)]
  assert.notEqual(ua, undefined, 'no monitor found in the cgroup of the sandbox')
  assert.ok(Math.abs(ua - ub) >= UIDS_PER_SANDBOX, `${ua} and ${ub} overlap`)
  for (const [s, first] of [[a, ua], [b, ub]])
    for (const pid of sandboxPids(s.sandboxId))
      for (const uid of status(pid)?.Uid ?? []) assert.ok(uid >= first && uid < first + UIDS_PER_SANDBOX, `pid ${pid} has uid ${uid}, range is from ${first}`)
})

claim('host names are the ids, and changing a file of the image changes it for one only', async () => {
  assert.equal((await a.commands.run('hostname')).stdout.trim(), a.sandboxId)
  await a.commands.run('echo "# changed" >> /etc/bash.bashrc && rm /etc/os-release', asRoot)
  assert.doesNotMatch((await b.commands.run('cat /etc/bash.bashrc')).stdout, /# changed/)
  assert.match((await b.commands.run('cat /etc/os-release')).stdout, /debian/i)
})

claim('killing one does nothing to the other', async () => {
  const c = await Sandbox.create({ timeoutMs: 60_000 })
  const h = await b.commands.run('sleep 2; echo lived', { background: true })
  await c.kill()
  assert.equal((await h.wait()).stdout, 'lived\n')
})
