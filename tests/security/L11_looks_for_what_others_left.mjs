// SPDX-License-Identifier: Apache-2.0
// Attack: find in my memory and on my disk what the sandbox before me had in its own.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { firstUid } from '../lib/host.mjs'

// The word is put together inside, so that it is not in the program that looks for it.
const search = (mib) => `python3 - <<'E'
import mmap, os
word = b'left-behind-' + b'by-the-one-before'
found = 0
for i in range(${mib} // 64):
    m = mmap.mmap(-1, 64 << 20)
    if word in m[:]: found += 1
    m.close()
fd = os.open('/tmp/new', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 256 << 20)
for i in range(256):
    if word in os.pread(fd, 1 << 20, i << 20): found += 1
os.posix_fallocate(fd, 0, 256 << 20)
for i in range(256):
    if word in os.pread(fd, 1 << 20, i << 20): found += 1
for d in ('/dev/shm', '/tmp', '/run', '/home/user'):
    for r, _, fs in os.walk(d):
        for f in fs:
            p = os.path.join(r, f)
            if p == '/tmp/new' or not os.path.isfile(p): continue
            try:
                if word in open(p, 'rb').read(1 << 20): found += 1
            except OSError: pass
print('found', found)
E`

claim('a gibibyte of fresh memory and half of disk hold nothing of a sandbox that had the same place', { timeout: 120_000 }, async (t) => {
  const a = await Sandbox.create({ timeoutMs: 120_000 })
  const place = firstUid(a.sandboxId)
  await a.commands.run(`python3 - <<'E'
word = b'left-behind-' + b'by-the-one-before'
block = word * (1 << 15)
for path in ('/tmp/mine', '/dev/shm/mine'):
    with open(path, 'wb') as f:
        for i in range(200): f.write(block)
memory = block * 300
E`, { user: 'root' })
  assert.match((await a.commands.run(search(64))).stdout, /^found [1-9]/, 'the control: who has it finds it')
  await a.kill()
  const others = await Promise.all([Sandbox.create({ timeoutMs: 120_000 }), Sandbox.create({ timeoutMs: 120_000 })])
  t.after(() => Promise.all(others.map((s) => s.kill())))
  console.error(`# L11: the place was ${place}, the next are ${others.map((s) => firstUid(s.sandboxId))}`)
  for (const s of others) assert.equal((await s.commands.run(search(1024), { timeoutMs: 60_000 })).stdout, 'found 0\n')
})
