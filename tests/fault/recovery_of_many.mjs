// SPDX-License-Identifier: Apache-2.0
// FAULT_SANDBOXES (default 300) idle sandboxes; daemons die by SIGKILL; every sandbox is listed and reachable again, and how long that
// took is printed: from the first moment at which the daemon that was killed runs again, and from the kill.
import assert from 'node:assert/strict'
import { before, after, test } from 'node:test'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'
import { request, check } from './client.mjs'

const N = Number(process.env.FAULT_SANDBOXES ?? 300)
let i
const sandboxes = []
before(async () => {
  i = await Instance.start({ slots: N + 4 })
})
after(() => i?.end())

const inParallel = async (n, width, fn) => {
  let next = 0
  await Promise.all(Array.from({ length: width }, async () => {
    for (let k = next++; k < n; k = next++) await fn(k)
  }))
}

test(`${N} sandboxes are made and live side by side`, { timeout: Infinity }, async () => {
  const begun = performance.now()
  await inParallel(N, 4, async () => {
    const r = await request(i, 'POST', '/sandboxes', { json: { templateID: 'base', timeout: 3600 } })
    assert.equal(r.status, 201, r.text)
    sandboxes.push({ id: r.json.sandboxID, token: r.json.envdAccessToken })
  })
  console.error(`# ${N} sandboxes in ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  check(i)
})

const reach = async (s) => (await request(i, 'GET', '/health', { timeout: 2000, headers: { 'E2b-Sandbox-Id': s.id, 'E2b-Sandbox-Port': '49983' } })).status === 204

async function allAreBack() {
  const listed = new Set()
  await until('all to be listed', 60000, async () => {
    const r = await request(i, 'GET', '/sandboxes', { timeout: 2000 }).catch(() => null)
    r?.json?.forEach?.((x) => listed.add(x.sandboxID))
    return r?.status === 200 && sandboxes.every((s) => r.json.some((x) => x.sandboxID === s.id))
  })
  await inParallel(sandboxes.length, 16, (k) => until(`${sandboxes[k].id} to be reachable`, 60000, () => reach(sandboxes[k]).catch(() => false)))
}

async function recover(names) {
  const old = Object.fromEntries(names.map((n) => [n, i.daemon(n)]))
  const killed = performance.now()
  for (const n of names) process.kill(old[n], 'SIGKILL')
  await until(`a new ${names}`, 20000, () => names.every((n) => ![undefined, old[n]].includes(i.daemon(n))))
  const restarted = performance.now()
  await allAreBack()
  console.error(`# recovery of ${names.join(' and ')}, ${N} sandboxes listed and reachable: ${(performance.now() - restarted).toFixed(0)} ms after the restart, ${(performance.now() - killed).toFixed(0)} ms after the kill`)
  check(i, '--settle-ms', '5000')
}

for (const names of [['e2b-sandbox'], ['warden'], ['e2b-sandbox', 'warden']])
  test(`kill -9 of ${names.join(' and ')}: all ${N} are listed and reachable again`, { timeout: Infinity }, () => recover(names))

test(`kill -9 of firebreak up, and up again at once: all ${N} are listed and reachable again`, { timeout: Infinity }, async () => {
  const killed = performance.now()
  i.child.kill('SIGKILL')
  await i.ended
  const restarted = performance.now()
  await i.up()
  const up = performance.now()
  await allAreBack()
  console.error(`# recovery of firebreak up, ${N} sandboxes listed and reachable: ${(performance.now() - restarted).toFixed(0)} ms after the restart (of which ${(up - restarted).toFixed(0)} ms until it served), ${(performance.now() - killed).toFixed(0)} ms after the kill`)
  check(i, '--settle-ms', '5000')
})

test(`${N} sandboxes end, and nothing is left`, { timeout: Infinity }, async () => {
  const begun = performance.now()
  await inParallel(sandboxes.length, 8, async (k) => assert.equal((await request(i, 'DELETE', `/sandboxes/${sandboxes[k].id}`)).status, 204))
  console.error(`# ${N} killed in ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  check(i, '--settle-ms', '5000')
  await i.stop()
  check(i, '--stopped', '--uid-base', String(i.uidBase), '--settle-ms', '5000')
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
