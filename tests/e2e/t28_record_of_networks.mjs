// SPDX-License-Identifier: Apache-2.0
// Refusals of netd and the life of the daemons are in the record, too; and netd's own go on after kill -9 of the recorder.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Instance } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'
import { records, verify } from '../lib/record.mjs'
import { start } from '../lib/start.mjs'

let i, s
const api = (method, path, json) => fetch(i.url + path, { method, headers: { 'X-API-Key': i.key, 'Content-Type': 'application/json' }, body: json && JSON.stringify(json) })
before(async () => {
  i = await Instance.start({ args: ['--internet', 'allow'] })
  const r = await (await api('POST', '/sandboxes', { templateID: 'base', timeout: 300, allow_internet_access: true })).json()
  s = { sandboxId: r.sandboxID, envdAccessToken: r.envdAccessToken }
})
after(() => i?.end())
const knock = (address, port) => start(i, s, { cmd: '/bin/bash', args: ['-c', `timeout 2 bash -c '</dev/tcp/${address}/${port}'; true`] })

test('a refused connection is egress.denied with address and port', async () => {
  await knock('10.1.2.3', 8080)
  await until('the refusal to be recorded', 10000, () => records(i, 'egress.denied').length > 0)
  const [line] = records(i, 'egress.denied')
  assert.equal(line.sandbox_id, s.sandboxId)
  assert.match(line.reason, /^special tcp 10\.1\.2\.3:8080$/)
})

test('refusals while the recorder is away are recorded when it is back', async () => {
  process.kill(i.daemon('recorder'), 'SIGKILL')
  await until('another recorder', 10000, () => i.daemon('recorder'))
  await until('executions to be admitted', 10000, async () => (await knock('10.1.2.4', 81).then(() => true, () => false)))
  await until('the refusal to be recorded', 10000, () => records(i, 'egress.denied').some((r) => r.reason.includes('10.1.2.4:81')))
})

test('a change of the network, the start, its settings and a daemon that ended are recorded', async () => {
  assert.equal((await api('PUT', `/sandboxes/${s.sandboxId}/network`, { allow_internet_access: false })).status, 204)
  assert.equal(records(i, 'network.changed').filter((r) => r.sandbox_id === s.sandboxId).length, 1)
  assert.match(records(i, 'config.loaded')[0].reason, /internet allow/)
  assert.match(records(i, 'daemon.started')[0].reason, /warden, e2b-sandbox, netd/)
  process.kill(i.daemon('netd'), 'SIGKILL')
  await until('its end to be recorded', 10000, () => records(i, 'daemon.stopped').some((r) => r.reason.startsWith('netd, killed by signal 9')))
  await i.stop()
  assert.ok(records(i, 'daemon.stopped').some((r) => r.reason.startsWith('all, ')))
  assert.equal(verify(i).whole, true)
})
