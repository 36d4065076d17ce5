// SPDX-License-Identifier: Apache-2.0
// The copy of the record in Loki: labels and lines as the guide's queries want them; nothing is lost or doubled whatever Loki does, and nothing
// waits for it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Instance } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'
import { Loki } from '../lib/loki.mjs'
import { lines, records } from '../lib/record.mjs'

let i, loki
before(async () => {
  loki = await new Loki().listen()
  i = await Instance.start({ args: ['--loki', loki.url, '--loki-tenant', 'pmoves', '--head-every', '1'] })
})
after(async () => {
  await i?.end()
  await loki?.close()
})

const api = (method, path, json, headers = {}) =>
  fetch(i.url + path, { method, headers: { 'X-API-Key': i.key, 'Content-Type': 'application/json', ...headers }, body: json && JSON.stringify(json) })
const cycle = async (headers) => {
  const r = await api('POST', '/sandboxes', { templateID: 'base', timeout: 300 }, headers)
  assert.equal(r.status, 201)
  const id = (await r.json()).sandboxID
  assert.equal((await api('DELETE', `/sandboxes/${id}`)).status, 204)
  return id
}
const all = () => ['30d', '90d', '365d'].flatMap((keep) => lines(i, keep))
const copied = () => loki.lines((l) => l.event_type !== 'integrity.head')
// I10: the copy is the record, each line once.
const isEqual = (ms = 90000) => until('the copy to be the record', ms, () => copied().length === all().length)
const drained = async (ms) => {
  await isEqual(ms)
  assert.deepEqual(copied().sort(), all().sort())
}
const metric = async (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${i.url}/metrics`)).text())?.[1])

test('R108 lines are pushed with job, event_type and retention, and their own bytes; I10 the copy is the record', async () => {
  const id = await cycle({ 'X-Agent-Id': 'agent-zero' })
  await drained()
  for (const key of loki.streams.keys()) assert.deepEqual(Object.keys(JSON.parse(key)), ['event_type', 'job', 'retention'])
  assert.equal(loki.lines((l) => l.event_type === 'sandbox.created' && l.retention === '90d' && l.job === 'e2b-sandbox').filter((l) => l.includes(id)).length, 1)
  assert.equal(loki.tenant, 'pmoves')
  await until('a head in the copy', 10000, () => loki.lines((l) => l.event_type === 'integrity.head' && l.retention === '365d').length > 0)
})

test('R108 the queries of the guide, corrected, find what they name', async () => {
  await fetch(`${i.url}/execute`, { method: 'POST', body: '{}', headers: { 'E2b-Sandbox-Id': (await (await api('POST', '/sandboxes', { templateID: 'base', timeout: 300 })).json()).sandboxID, 'E2b-Sandbox-Port': '49999' } })
  await until('the failure to be recorded', 5000, () => records(i, 'sandbox.failed').length === 1)
  await drained()
  const ask = async (q) => (await (await fetch(`${loki.url}/loki/api/v1/query_range?query=${encodeURIComponent(q)}`)).json()).data.result[0].values.map((v) => v[1])
  assert.ok((await ask('{job=~"e2b-.+"}')).length >= all().length)
  assert.equal((await ask('{job="e2b-sandbox"} |= "failed"')).filter((l) => l.includes('sandbox.failed')).length, 1)
  assert.equal((await ask('{job=~"e2b-.+"} | json | agent_id="agent-zero"')).length, 1)
  assert.equal((await ask('{job="e2b-desktop"} |= "accessed"')).length, 0)
})

test('R109 while Loki is down, slow, full or forgetful nothing waits; afterwards the copy is the record, each line once', async () => {
  for (const mode of [500, 429, 'hang', 'forget']) {
    loki.mode = mode
    const before = loki.pushes
    await cycle()
    await until(`a push to meet ${mode}`, 30000, () => loki.pushes > before)
    const begun = performance.now()
    await cycle()
    console.error(`# a cycle while Loki answers ${mode}: ${(performance.now() - begun).toFixed(0)} ms`)
    loki.mode = null
    await drained()
  }
})

test('R109 R123 what waits is a number of the metrics; it goes on after kill -9 of the shipper', async () => {
  await loki.close()
  await cycle()
  await until('the spool to be seen', 30000, async () => (await metric('e2b_audit_spool')) > 0)
  const pid = i.daemon('shipper')
  process.kill(pid, 'SIGKILL')
  await until('another shipper', 10000, () => i.daemon('shipper') && i.daemon('shipper') !== pid)
  await loki.listen(loki.port)
  await drained()
  await until('the spool to be empty', 30000, async () => (await metric('e2b_audit_spool')) === 0)
})

test('a line that Loki refuses for good is counted, and does not hold up the others', async () => {
  let refused = ''
  loki.mode = (labels, line) => labels.event_type === 'sandbox.created' && (refused ||= line) === line
  await cycle()
  await until('the rest to be there', 30000, () => copied().length === all().length - 1)
  assert.deepEqual(all().filter((l) => !copied().includes(l)), [refused])
  await until('it to be counted', 10000, async () => (await metric('e2b_audit_spool_lost_total')) === 1)
})
