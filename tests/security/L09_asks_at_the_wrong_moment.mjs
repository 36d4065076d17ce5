// SPDX-License-Identifier: Apache-2.0
// Attack: run, write, prolong and kill a sandbox that is being killed, was killed, or has run out of time; kill it many times at once.
import assert from 'node:assert/strict'
import { api, claim, Sandbox } from '../lib/sdk.mjs'
import { isAlive, sandboxPids, until } from '../lib/host.mjs'

claim('exactly one of twenty kills succeeds, and nothing works afterwards', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => neighbour.kill())
  const all = sandboxPids(s.sandboxId)
  const during = s.commands.run('sleep 30').then(() => 'ended', () => 'refused')
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n', 'the control')
  const kills = await Promise.all(Array.from({ length: 20 }, () => api('DELETE', `/sandboxes/${s.sandboxId}`)))
  const said = kills.map((r) => r.status).sort()
  assert.ok(said.filter((x) => x === 204).length >= 1 && said.every((x) => [204, 404].includes(x)), said.join())
  assert.equal(await during, 'refused')
  assert.equal((await api('DELETE', `/sandboxes/${s.sandboxId}`)).status, 404)
  assert.equal((await api('GET', `/sandboxes/${s.sandboxId}`)).status, 404)
  assert.equal((await api('POST', `/sandboxes/${s.sandboxId}/timeout`, { body: { timeout: 600 } })).status, 404)
  await assert.rejects(s.commands.run('echo alive'))
  await assert.rejects(s.files.write('/tmp/x', 'x'))
  await until('all of it to be gone', 3000, () => !all.some(isAlive))
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
})

claim('a deadline that is moved a hundred times by a race is the last one, or one of them', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  const all = sandboxPids(s.sandboxId)
  await Promise.all(Array.from({ length: 50 }, (_, n) => s.setTimeout(n % 2 ? 60_000 : 40_000)))
  assert.ok(all.some(isAlive), 'the control: it lives')
  await s.setTimeout(1000)
  await until('it to end in time', 15_000, () => !all.some(isAlive))
  await until('it to be unknown', 5000, async () => (await api('GET', `/sandboxes/${s.sandboxId}`)).status === 404)
})
