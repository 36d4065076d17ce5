// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, e2b, Sandbox, api } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

const create = async (t, options = {}) => {
  const s = await Sandbox.create({ timeoutMs: 300_000, ...options })
  t.after(() => s.kill().catch(() => {}))
  return s
}

claim('create answers 201 with every field that a client needs, on both paths', async (t) => {
  for (const path of ['/sandboxes', '/v2/sandboxes']) {
    const r = await api('POST', path, { body: { templateID: 'base', secure: true, unknownField: 1 } })
    assert.equal(r.status, 201, r.text)
    t.after(() => api('DELETE', `/sandboxes/${r.json.sandboxID}`))
    assert.match(r.json.sandboxID, /^i[a-z0-9]{19}$/)
    assert.equal(typeof r.json.templateID, 'string')
    assert.equal(r.json.envdVersion, '0.6.13')
    assert.equal(r.json.clientID, 'firebreak')
    assert.ok(r.json.envdAccessToken.length >= 32)
    assert.match(r.headers['content-type'], /application\/json/)
  }
})

claim('ids and tokens of sandboxes have nothing in common', async (t) => {
  const made = await Promise.all([1, 2, 3, 4].map(() => create(t)))
  assert.equal(new Set(made.map((s) => s.sandboxId.slice(0, 7))).size, 4)
  assert.equal(new Set(made.map((s) => s.envdAccessToken)).size, 4)
})

claim('getInfo tells what was asked for and what was given', async (t) => {
  const before = Date.now()
  const s = await create(t, { metadata: { 'user id': 'a&b', unicode: 'grüße 🔥' }, timeoutMs: 120_000 })
  const i = await s.getInfo()
  assert.equal(i.sandboxId, s.sandboxId)
  assert.deepEqual(i.metadata, { 'user id': 'a&b', unicode: 'grüße 🔥' })
  assert.equal(i.state, 'running')
  assert.equal(i.envdVersion, '0.6.13')
  assert.equal(i.cpuCount, 2)
  assert.equal(i.memoryMB, 2048)
  assert.ok(i.startedAt >= before - 1000 && i.startedAt <= Date.now() + 1000)
  const length = i.endAt - i.startedAt
  assert.ok(length > 115_000 && length < 125_000, `ends after ${length} ms`)
  assert.deepEqual(i.lifecycle, { autoResume: false, onTimeout: 'kill' })
  const raw = (await api('GET', `/sandboxes/${s.sandboxId}`)).json
  for (const field of ['templateID', 'sandboxID', 'clientID', 'startedAt', 'endAt', 'cpuCount', 'memoryMB', 'diskSizeMB', 'state', 'envdVersion', 'volumeMounts'])
    assert.ok(field in raw, `${field} is missing`)
})

claim('a sandbox is asked for by its id with a client id behind it, too', async (t) => {
  const s = await create(t)
  assert.equal((await api('GET', `/sandboxes/${s.sandboxId}-firebreak`)).json?.sandboxID, s.sandboxId)
})

claim('list pages through all sandboxes, newest first, each once', async (t) => {
  const mark = `page-${Date.now()}`
  const ids = []
  for (let i = 0; i < 5; i++) ids.push((await create(t, { metadata: { mark } })).sandboxId)
  const seen = []
  const p = Sandbox.list({ limit: 2, query: { metadata: { mark } } })
  let pages = 0
  while (p.hasNext) {
    const items = await p.nextItems()
    assert.ok(items.length <= 2)
    seen.push(...items.map((i) => i.sandboxId))
    assert.ok(++pages < 10)
  }
  assert.deepEqual(seen, ids.toReversed?.() ?? [...ids].reverse())
  const up = Sandbox.list({ order: 'asc', query: { metadata: { mark } } })
  assert.deepEqual((await up.nextItems()).map((i) => i.sandboxId), ids)
})

claim('list filters by metadata, with every pair and odd characters', async (t) => {
  const mark = `m-${Date.now()}`
  const a = await create(t, { metadata: { mark, 'user id': 'a&b=c%20', more: '1' } })
  const b = await create(t, { metadata: { mark, 'user id': 'other' } })
  const find = async (metadata) => (await Sandbox.list({ query: { metadata } }).nextItems()).map((i) => i.sandboxId).sort()
  assert.deepEqual(await find({ mark }), [a.sandboxId, b.sandboxId].sort())
  assert.deepEqual(await find({ mark, 'user id': 'a&b=c%20' }), [a.sandboxId])
  assert.deepEqual(await find({ mark, 'user id': 'a&b=c%20', more: '2' }), [])
})

claim('list filters by state and template', async (t) => {
  const mark = `s-${Date.now()}`
  const s = await create(t, { metadata: { mark } })
  const find = async (query) => (await Sandbox.list({ query: { metadata: { mark }, ...query } }).nextItems()).map((i) => i.sandboxId)
  assert.deepEqual(await find({ state: ['running'] }), [s.sandboxId])
  assert.deepEqual(await find({ state: ['running', 'paused'] }), [s.sandboxId])
  assert.deepEqual(await find({ state: ['paused'] }), [])
  assert.deepEqual(await find({ template: 'no-such-template' }), [])
})

claim('setTimeout moves the end both ways', async (t) => {
  const s = await create(t)
  for (const ms of [600_000, 30_000]) {
    await s.setTimeout(ms)
    const left = (await s.getInfo()).endAt - Date.now()
    assert.ok(Math.abs(left - ms) < 3000, `${left} ms are left, asked for ${ms}`)
  }
})

claim('refresh never shortens', async (t) => {
  const s = await create(t, { timeoutMs: 300_000 })
  const before = (await s.getInfo()).endAt
  assert.equal((await api('POST', `/sandboxes/${s.sandboxId}/refreshes`, { body: { duration: 20 } })).status, 204)
  assert.deepEqual((await s.getInfo()).endAt, before)
  assert.equal((await api('POST', `/sandboxes/${s.sandboxId}/refreshes`, { body: { duration: 1200 } })).status, 204)
  assert.ok((await s.getInfo()).endAt - Date.now() > 1_190_000)
})

claim('connect gives the same sandbox with the same token, and never shortens', async (t) => {
  const s = await create(t)
  await s.files.write('/home/user/kept', 'yes')
  const before = (await s.getInfo()).endAt
  const again = await Sandbox.connect(s.sandboxId, { timeoutMs: 10_000 })
  assert.equal(again.envdAccessToken, s.envdAccessToken)
  assert.equal(await again.files.read('/home/user/kept'), 'yes')
  assert.deepEqual((await s.getInfo()).endAt, before)
  const v1 = await api('POST', `/sandboxes/${s.sandboxId}/connect`, { body: { timeout: 900 } })
  assert.equal(v1.status, 200)
  assert.equal(v1.json.envdAccessToken, s.envdAccessToken)
  assert.ok((await s.getInfo()).endAt - Date.now() > 890_000)
})

claim('kill ends it at once: not running, not listed, not found, and only once', async (t) => {
  const s = await create(t)
  assert.equal(await s.isRunning(), true)
  assert.equal(await s.kill(), true)
  assert.equal(await s.isRunning(), false)
  assert.equal(await s.kill(), false)
  await assert.rejects(s.getInfo(), e2b.SandboxNotFoundError)
  await assert.rejects(s.setTimeout(1000), e2b.SandboxNotFoundError)
  await assert.rejects(Sandbox.connect(s.sandboxId), e2b.SandboxNotFoundError)
  assert.ok(!(await Sandbox.list().nextItems()).some((i) => i.sandboxId === s.sandboxId))
  await assert.rejects(s.commands.run('true'))
})

claim('kill ends a command that somebody waits for with an error, not with silence', async (t) => {
  const s = await create(t)
  const h = await s.commands.run('sleep 100', { background: true })
  const waits = h.wait()
  const rejected = assert.rejects(waits)
  await s.kill()
  await rejected
})

claim('the timeout really ends it', async () => {
  const s = await Sandbox.create({ timeoutMs: 2_000 })
  const began = performance.now()
  await s.commands.run('true')
  await until('the sandbox to end', 10000, async () => !(await s.isRunning()))
  const took = performance.now() - began
  assert.ok(took > 1000, `ended after ${took} ms already`)
  await until('it to be unknown', 3000, () => s.getInfo().then(() => false, (e) => e instanceof e2b.SandboxNotFoundError))
})

claim('a prolonged sandbox lives past its first end', async (t) => {
  const s = await create(t, { timeoutMs: 2_000 })
  await s.setTimeout(60_000)
  await sleep(3000)
  assert.equal(await s.isRunning(), true)
  assert.equal((await s.commands.run('echo alive')).stdout, 'alive\n')
})

claim('a sandbox whose first process is killed from inside is gone for its users', async (t) => {
  const s = await create(t)
  await s.commands.run('kill -TERM 1', { user: 'root' }).catch(() => {})
  // PID 1 may ignore it: then the sandbox must go on working.
  if (await s.isRunning()) assert.equal((await s.commands.run('echo alive')).stdout, 'alive\n')
  else await until('it to be unknown', 5000, () => s.getInfo().then(() => false, (e) => e instanceof e2b.SandboxNotFoundError))
})
