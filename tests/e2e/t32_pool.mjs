// SPDX-License-Identifier: Apache-2.0
// Sandboxes that are ready before anybody asks: what clients get of them, and what they never notice.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, e2b, Sandbox, http, into } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { cgroupDirs, sandboxPids, until } from '../lib/host.mjs'
import { entries, poolNumbers, untilReady } from '../lib/pool.mjs'

let i, opts
before(async () => {
  i = await Instance.start({ args: ['--pool-max', '3', '--max-sandboxes', '5'] })
  opts = i.sdk
})
after(() => i?.end())

claim('a create after the first takes a ready sandbox, and all that was asked for holds in it', async () => {
  const first = await Sandbox.create(opts)
  await untilReady(i, 2)
  const ready = await entries(i)
  assert.equal(ready.length, 2)
  const before = await poolNumbers(i)
  const s = await Sandbox.create({ ...opts, envs: { MINE: 'yes' }, metadata: { a: 'b' }, timeoutMs: 60_000 })
  assert.ok(ready.includes(s.sandboxId), 'not from the pool')
  assert.equal((await poolNumbers(i)).hits_total, before.hits_total + 1)
  const r = await s.commands.run('echo $MINE; hostname; id -un; pwd; echo $E2B_SANDBOX_ID')
  assert.equal(r.stdout, `yes\n${s.sandboxId}\nuser\n/home/user\n${s.sandboxId}\n`)
  const info = await s.getInfo()
  assert.deepEqual(info.metadata, { a: 'b' })
  assert.ok(Math.abs(+info.endAt - +info.startedAt - 60_000) < 3000, 'its end is its own')
  assert.ok(Math.abs(Date.now() - +info.startedAt) < 10_000, 'it started when it was asked for')
  await s.setTimeout(1000) // and the monitor keeps it: it is the deadline of the client, not of the pool
  await until('its end', 15000, () => sandboxPids(s.sandboxId).length === 0)
  await first.kill()
})

claim('nobody can see or reach what is in the pool', async () => {
  await untilReady(i, 2)
  const headers = { 'X-API-Key': i.key }
  for (const id of await entries(i)) {
    assert.equal((await http('GET', `/sandboxes/${id}`, { url: i.url, headers })).status, 404)
    assert.equal((await http('DELETE', `/sandboxes/${id}`, { url: i.url, headers })).status, 404)
    assert.equal((await http('GET', '/health', { url: i.url, headers: into(id, 49983) })).status, 502)
  }
  assert.deepEqual(await Sandbox.list(opts).nextItems(), [])
})

claim('clients get every place that there is: the pool makes way, and one more is still 429', async () => {
  await untilReady(i, 2)
  const made = await Promise.all([1, 2, 3, 4, 5].map(() => Sandbox.create({ ...opts, retries: 0 })))
  assert.equal(new Set(made.map((s) => s.sandboxId)).size, 5)
  await assert.rejects(Sandbox.create({ ...opts, retries: 0 }), e2b.RateLimitError)
  const said = await Promise.all(made.map((s) => s.commands.run('echo here')))
  assert.deepEqual(said.map((r) => r.stdout), Array(5).fill('here\n'))
  assert.equal((await poolNumbers(i)).ready, 0)
  await Promise.all(made.map((s) => s.kill()))
})

claim('kill -9 of e2b-sandbox: what was in the pool ends, and what was a client\'s goes on', async () => {
  const s = await Sandbox.create(opts)
  await until('some to be ready', 20000, async () => (await poolNumbers(i)).ready >= 2)
  const orphans = await entries(i)
  const old = i.daemon('e2b-sandbox')
  process.kill(old, 'SIGKILL')
  await until('a new one', 20000, () => ![undefined, old].includes(i.daemon('e2b-sandbox')))
  await until('the orphans to be gone', 20000, () => orphans.every((id) => cgroupDirs(id).length === 0))
  await until('it to serve', 20000, () => i.isServing())
  assert.equal((await s.commands.run('echo still')).stdout, 'still\n')
  assert.equal(await s.kill(), true)
})

claim('kill -9 of warden: the ready ones stay ready, and are given away', async () => {
  await (await Sandbox.create(opts)).kill()
  await until('some to be ready', 20000, async () => (await poolNumbers(i)).ready >= 2)
  const ready = await entries(i)
  const old = i.daemon('warden')
  process.kill(old, 'SIGKILL')
  await until('a new one', 20000, () => ![undefined, old].includes(i.daemon('warden')))
  const s = await until('a create', 20000, () => Sandbox.create(opts).catch(() => null))
  assert.ok(ready.includes(s.sandboxId))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  await s.kill()
})

claim('the monitor of a ready one is killed: the next client gets another', async () => {
  await until('some to be ready', 20000, async () => (await poolNumbers(i)).ready >= 2)
  const ready = await entries(i)
  for (const id of ready) for (const pid of sandboxPids(id)) try { process.kill(pid, 'SIGKILL') } catch {}
  const s = await Sandbox.create(opts)
  assert.ok(!ready.includes(s.sandboxId))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  await s.kill()
})

claim('a stop drains it and leaves nothing', async () => {
  await until('some to be ready', 20000, async () => (await poolNumbers(i)).ready >= 1)
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
