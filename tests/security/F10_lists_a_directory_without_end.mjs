// SPDX-License-Identifier: Apache-2.0
// Attack: a directory of very many entries, links in a circle, and a path deeper than any buffer, and then have them listed and watched.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { claim, e2b, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, pids } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

claim('lists are bounded, circles end, and the API does not grow with them', { timeout: 180_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 240_000 })
  t.after(() => s.kill())
  await s.commands.run(`python3 -c "
import os
os.makedirs('/tmp/many'); os.chdir('/tmp/many')
for i in range(150000): os.close(os.open('%06d' % i, os.O_CREAT))
os.makedirs('/tmp/round/a/b'); os.symlink('/tmp/round', '/tmp/round/a/b/again'); os.symlink('.', '/tmp/round/self')
os.makedirs('/tmp/deep'); os.chdir('/tmp/deep')
for i in range(1500): os.mkdir('d'); os.chdir('d')
"`, { timeoutMs: 60_000 })
  const api = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const before = rss(api)
  assert.equal((await s.files.list('/tmp/round', { depth: 1 })).length, 2, 'the control: a small one is listed')
  await withVictim(t, 'F10', async () => {
    const answer = async (path, depth) => {
      try {
        return (await s.files.list(path, { depth, requestTimeoutMs: 60_000 })).length
      } catch (e) {
        assert.ok(e instanceof e2b.SandboxError, `${path}: ${e}`)
        return e.message
      }
    }
    const many = await answer('/tmp/many', 1)
    assert.ok(typeof many === 'string' ? /100000|too many|limit|entries/i.test(many) : many <= 100_000, `an unbounded list: ${many}`)
    const round = await answer('/tmp/round', 1000)
    assert.ok(typeof round === 'string' || round < 20, `went round in circles: ${round}`)
    const deep = await answer('/tmp/deep', 2000)
    assert.ok(typeof deep === 'string' || deep <= 1100, `deeper than it may: ${deep}`)
    console.error(`# F10: many: ${many}; round: ${round}; deep: ${deep}`)
  })
  assert.ok(rss(api) - before < 64 * 1024, `the API grew from ${before} to ${rss(api)} KiB`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
