// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs, until } from '../lib/host.mjs'

claim('sixteen sandboxes at once all answer, with their own answer', { timeout: 120000 }, async (t) => {
  const all = await Promise.all(Array.from({ length: 16 }, (_, i) => Sandbox.create({ timeoutMs: 120_000, envs: { N: String(i) } })))
  t.after(() => Promise.all(all.map((s) => s.kill())))
  assert.equal(new Set(all.map((s) => s.sandboxId)).size, 16)
  const answers = await Promise.all(all.map((s) => s.commands.run('echo $N $E2B_SANDBOX_ID')))
  answers.forEach((r, i) => assert.equal(r.stdout, `${i} ${all[i].sandboxId}\n`))
})

claim('sixty created and killed in turn leave no group behind', { timeout: 120000 }, async () => {
  const took = []
  const ids = []
  for (let i = 0; i < 60; i++) {
    const began = performance.now()
    const s = await Sandbox.create({ timeoutMs: 60_000 })
    ids.push(s.sandboxId)
    assert.equal(await s.kill(), true)
    took.push(performance.now() - began)
  }
  await until('their groups to be removed', 3000, () => ids.every((id) => cgroupDirs(id).length === 0))
  const median = (v) => v.toSorted?.((x, y) => x - y)[v.length >> 1] ?? [...v].sort((x, y) => x - y)[v.length >> 1]
  console.error(`# create+kill: median of the first 20 ${median(took.slice(0, 20)).toFixed(1)} ms, of the last 20 ${median(took.slice(-20)).toFixed(1)} ms`)
})
