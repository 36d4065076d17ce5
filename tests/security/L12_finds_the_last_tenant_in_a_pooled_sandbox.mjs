// SPDX-License-Identifier: Apache-2.0
// Attack (L11): take sandboxes from the pool, one after the other in the same place, and look for what the tenant before left.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { randomBytes } from 'node:crypto'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { Instance } from '../lib/instance.mjs'
import { firstUid, until } from '../lib/host.mjs'
import { poolNumbers } from '../lib/pool.mjs'

let i, opts
before(async () => {
  i = await Instance.start({ args: ['--pool-max', '2', '--max-sandboxes', '3'] })
  opts = { ...i.sdk, timeoutMs: 120_000 }
})
after(() => i?.end())

// Everything that root inside can read, the memory of every process included; the word comes in two halves, so that the search
// does not find itself.
const search = (s, canary) => s.commands.run(`python3 - <<'END'
import os
word = b"${canary.slice(0, 8)}" + b"${canary.slice(8)}"
found = []
for top, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(top, d) not in ("/proc", "/sys", "/usr")]
    for f in files:
        p = os.path.join(top, f)
        if word in p.encode() : found.append(p)
        try:
            if os.path.isfile(p) and word in open(p, "rb").read(1 << 24): found.append(p)
        except OSError: pass
me = os.getpid()
for pid in filter(str.isdigit, os.listdir("/proc")):
    for part in ("environ", "cmdline"):
        try:
            if word in open(f"/proc/{pid}/{part}", "rb").read(): found.append(f"{pid}/{part}")
        except OSError: pass
# Fresh memory and fresh disk are zeros, whoever had them before.
import mmap
m = mmap.mmap(-1, 256 << 20)
for at in range(0, len(m), 1 << 22):
    if m[at:at + (1 << 22)].count(0) != 1 << 22: found.append("memory"); break
with open("/tmp/sparse", "wb") as f: f.truncate(64 << 20)
if open("/tmp/sparse", "rb").read().count(0) != 64 << 20: found.append("disk")
print("\\n".join(found) or "nothing")
END`, { user: 'root', timeoutMs: 60_000 })

claim('what a tenant left in files, memory, variables and names is not in the sandboxes that follow in its place', async () => {
  const canary = randomBytes(8).toString('hex')
  await (await Sandbox.create(opts)).kill()
  await until('the pool', 20000, async () => (await poolNumbers(i)).ready === 2)
  const a = await Sandbox.create({ ...opts, envs: { LEFT: canary } })
  const uid = firstUid(a.sandboxId)
  await a.commands.run(`for d in /tmp /home/user /dev/shm /var/tmp; do echo ${canary} > $d/left-${canary}; done; sudo sh -c 'echo ${canary} > /etc/left'`)
  await a.commands.run(`python3 -c "import time; keep = ['${canary}' * 1000 for _ in range(20000)]; time.sleep(300)"`, { background: true, timeoutMs: 0 })
  const control = (await search(a, canary)).stdout
  for (const place of ['/tmp/left', '/dev/shm/left', '/etc/left', '/environ', '/cmdline']) assert.match(control, new RegExp(place), 'the control: it is found where it is')
  await a.kill()

  const places = new Set(), ids = new Set([a.sandboxId])
  const { hits_total: hits } = await poolNumbers(i)
  for (let n = 0; n < 6; n++) {
    await until('a ready one', 20000, async () => (await poolNumbers(i)).ready >= 1)
    const b = await Sandbox.create(opts)
    assert.ok(!ids.has(b.sandboxId), 'used twice')
    ids.add(b.sandboxId)
    places.add(firstUid(b.sandboxId))
    assert.equal((await search(b, canary)).stdout, 'nothing\n')
    await b.kill()
  }
  assert.equal((await poolNumbers(i)).hits_total - hits, 6, 'each of them came from the pool')
  assert.ok(places.has(uid), 'one of them had the uids of the first')
  const neighbour = await Sandbox.create(opts)
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  await neighbour.kill()
})
