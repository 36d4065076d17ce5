// SPDX-License-Identifier: Apache-2.0
// Attack: let a file grow, shrink and vanish while it is downloaded, so that the length that was promised is wrong and a mapping ends.
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { base, claim, into, Sandbox, tokenOf } from '../lib/sdk.mjs'
import { isAlive, monitorPid, sandboxPids, status } from '../lib/host.mjs'

// What came of one download: {declared, got, whole}.
const download = (s, path) =>
  new Promise((done, failed) => {
    const { hostname, port } = new URL(base)
    const r = request({ hostname, port, path: `/files?path=${path}`, agent: false, headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) }, (a) => {
      let got = 0
      const end = (whole) => done({ status: a.statusCode, declared: Number(a.headers['content-length'] ?? NaN), got, whole: whole && a.complete })
      a.on('data', (d) => { got += d.length })
      a.on('end', () => end(true))
      a.on('error', () => end(false))
    })
    r.on('error', failed)
    r.setTimeout(20000, () => r.destroy(new Error('no answer')))
    r.end()
  })

claim('a promised length is kept, or the connection ends; the agent lives', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 120_000 }), Sandbox.create({ timeoutMs: 120_000 })])
  t.after(() => Promise.all([s.kill(), neighbour.kill()]))
  const agent = sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
  assert.ok(agent && monitorPid(s.sandboxId))
  await s.commands.run('head -c 8M /dev/zero > /tmp/still')
  const still = await download(s, '/tmp/still')
  assert.ok(still.whole && still.got === 8 << 20 && still.declared === still.got, 'the control: a file at rest comes whole')
  const changer = await s.commands.run(`cd /tmp; python3 -c "
import os
fd = os.open('moving', os.O_RDWR | os.O_CREAT, 0o644)
block = b'x' * (16 << 20)
while True:
    os.pwrite(fd, block, 0)
    os.ftruncate(fd, 4096)
"`, { background: true })
  let cut = 0, served = 0
  for (let i = 0; i < 60; i++) {
    const r = await download(s, '/tmp/moving')
    if (r.status !== 200) continue
    if (r.whole && !Number.isNaN(r.declared)) assert.equal(r.got, r.declared, 'a whole answer is as long as it said')
    assert.ok(Number.isNaN(r.declared) || r.got <= r.declared, 'longer than it said')
    served++
    cut += !r.whole
  }
  console.error(`# F09: ${cut} of ${served} downloads were cut short`)
  assert.ok(served > 20 && cut > 0, 'the file was never caught changing')
  await changer.kill()
  assert.ok(isAlive(agent), 'the agent died of it')
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
})
