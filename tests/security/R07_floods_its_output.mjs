// SPDX-License-Identifier: Apache-2.0
// Attack: write more output than anybody reads, so that a service of the host keeps it in memory.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { base, claim, into, Sandbox, tokenOf } from '../lib/sdk.mjs'
import { commandLine, exe, pids } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

claim('output that a client asked for and does not read stays in the sandbox', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([s.kill(), neighbour.kill()]))
  const api = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const before = rss(api)
  const { hostname, port } = new URL(base)
  const message = Buffer.from(JSON.stringify({ process: { cmd: '/bin/bash', args: ['-c', 'yes 0123456789012345678901234567890123456789'] }, stdin: false }))
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), message])
  frame.writeUInt32BE(message.length, 1)
  const answer = await new Promise((done, failed) => {
    const r = request({ hostname, port, method: 'POST', path: '/process.Process/Start', agent: false, headers: into(s, 49983, { 'X-Access-Token': tokenOf(s), 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1', 'Content-Length': frame.length }) }, done)
    r.on('error', failed)
    r.end(frame)
  })
  assert.equal(answer.statusCode, 200)
  let got = 0
  await new Promise((done) => answer.on('data', (d) => ((got += d.length) > 1 << 20 ? done(answer.pause()) : 0)))
  let most = 0
  for (let i = 0; i < 15; i++) {
    await sleep(100)
    most = Math.max(most, rss(api))
  }
  assert.ok(got >= 1 << 20, 'the control: it does flood')
  assert.ok(most - before < 16 * 1024, `the service grew from ${before} to ${most} KiB`)
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  answer.on('error', () => {})
  answer.destroy()
})

claim('a line of 64 MiB without an end goes through', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  let n = 0
  await s.commands.run('head -c 67108864 /dev/zero | tr "\\0" x', { onStdout: (d) => { n += d.length } })
  assert.equal(n, 67108864)
})

claim('bytes one by one, and bytes that are no text, arrive as what they are', { timeout: 90_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  let pieces = 0, n = 0
  await withVictim(t, 'R07', () => s.commands.run(`python3 -c "
import os
for i in range(100000): os.write(1, b'x')
os.write(2, bytes(range(128, 256)) * 64)
"`, { onStdout: (d) => { pieces++; n += d.length }, timeoutMs: 60_000 }))
  assert.equal(n, 100_000)
  console.error(`# R07: 100000 writes of a byte came in ${pieces} pieces`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
