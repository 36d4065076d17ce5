// SPDX-License-Identifier: Apache-2.0
// Attack: ids, names, methods, paths and exit codes that are different each time, so that each becomes a series of its own.
import assert from 'node:assert/strict'
import { api, claim, http, Sandbox } from '../lib/sdk.mjs'

const series = async () => (await http('GET', '/metrics')).text.split('\n').filter((l) => l && !l.startsWith('#')).map((l) => l.replace(/\s\S+$/, ''))

claim('the number of series is the same after hundreds of different requests', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000, metadata: { canary: 'series-canary' } })
  t.after(() => s.kill())
  const errors = async (n) => {
    await api('GET', `/sandboxes/nobody${n}`)
    await api('POST', '/v2/sandboxes', { body: { templateID: `absent-${n}` } })
    await http('GET', `/path/${n}`)
    await http('GET', '/health', { headers: { 'User-Agent': `agent-${n}`, 'E2b-Sandbox-Id': `i${n}`, 'E2b-Sandbox-Port': '80' } })
  }
  await errors(0)
  await s.commands.run('exit 3').catch(() => {})
  const before = await series()
  assert.ok(before.length > 5, 'the control: there are metrics')
  for (let n = 1; n <= 100; n++) await errors(n)
  for (let n = 4; n < 40; n++) await s.commands.run(`exit ${n}`).catch(() => {})
  const made = await Promise.all(Array.from({ length: 8 }, (_, n) => Sandbox.create({ timeoutMs: 30_000, metadata: { n: `value-${n}` } })))
  const after = await series()
  await Promise.all(made.map((m) => m.kill()))
  const added = after.filter((l) => !before.includes(l))
  assert.ok(added.length <= 8, `${added.length} new series: ${added.slice(0, 5)}`)
  for (const word of ['series-canary', 'nobody', 'absent-', 'agent-', s.sandboxId]) assert.ok(!after.some((l) => l.includes(word)), `${word} is in a label`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
