// SPDX-License-Identifier: Apache-2.0
// Bytes in flight on the loopback lie in the kernel's memory: they count, too.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { claim, withSandboxes } from '../lib/sdk.mjs'
import { cgroupDirs } from '../lib/host.mjs'

// Queues as much as it can, up to 700 MiB, in at most 400 connections that nobody reads, and says how much it was.
const program = `
import socket
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(512)
keep, sent, buf = [], 0, b"x" * 65536
for _ in range(400):
    c = socket.socket(); c.connect(l.getsockname()); a, _ = l.accept(); keep += [c, a]
    for s in (c, a):
        s.setblocking(False)
        try:
            while sent < 700 << 20: sent += s.send(buf)
        except BlockingIOError: pass
print("here", sent >> 20, flush=True)
`
const queued = (text) => Number(/^here (\d+)$/m.exec(text)?.[1] ?? -1)

claim('socket buffers of a sandbox stay within its share of memory', async (t) => {
  const control = spawnSync('python3', ['-'], { input: program, encoding: 'utf8', timeout: 60000 })
  assert.equal(queued(control.stdout), 700, `the attack does not work outside: ${control.stdout}${control.stderr}`)
  const [s, neighbour] = await withSandboxes(t, 2)
  await s.files.write('/tmp/fill.py', program)
  const r = await s.commands.run('python3 /tmp/fill.py')
  const inside = queued(r.stdout)
  assert.ok(inside >= 0, `the probe did not come to its end: ${r.stdout}${r.stderr}`)
  const v1 = cgroupDirs(s.sandboxId).map((d) => `${d}/memory.kmem.tcp.failcnt`).find(existsSync)
  if (v1) {
    const share = 512 // a quarter of 2 GiB
    assert.ok(inside <= share + 32, `${inside} MiB were queued, the share is ${share}`)
    const [limit, most] = ['limit', 'max_usage'].map((f) => Number(readFileSync(v1.replace('failcnt', `${f}_in_bytes`), 'utf8')))
    assert.equal(limit, share << 20)
    assert.ok(most >= limit, 'it was not this limit that stopped it')
  } else {
    const dir = cgroupDirs(s.sandboxId).find((d) => existsSync(`${d}/memory.peak`) || existsSync(`${d}/memory.stat`))
    assert.match(readFileSync(`${dir}/memory.stat`, 'utf8'), /^sock \d+$/m, 'the kernel does not count socket buffers here')
  }
  assert.equal((await neighbour.commands.run('echo fine')).stdout, 'fine\n')
  assert.equal((await s.commands.run('echo fine')).stdout, 'fine\n')
})
