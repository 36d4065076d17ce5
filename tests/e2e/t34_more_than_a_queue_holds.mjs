// SPDX-License-Identifier: Apache-2.0
// The warden's list of so many sandboxes does not fit into the socket at once: nobody is cut off for that.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, http } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'

const many = 330 // at some 900 bytes of kernel memory a row, a queue of 208 KiB holds some 230
let i
before(async () => {
  // Above the ranges that takeUids gives out.
  i = await Instance.start({ args: ['--max-sandboxes', '400', '--uid-base', '3892314112'] })
})
after(() => i?.end())
const api = (method, path, body) => http(method, path, { url: i.url, headers: { 'X-API-Key': i.key }, body })

claim(`${many} sandboxes are created, compared with the warden, and found again after kill -9 of e2b-sandbox`, async () => {
  for (let n = 0; n < many; n += 10) {
    const made = await Promise.all(Array.from({ length: 10 }, () => api('POST', '/v2/sandboxes', { templateID: 'base', timeout: 300 })))
    for (const r of made) assert.equal(r.status, 201, r.text)
  }
  const old = i.daemon('e2b-sandbox')
  process.kill(old, 'SIGKILL')
  await until('a new one that serves', 20000, async () => ![undefined, old].includes(i.daemon('e2b-sandbox')) && (await i.isServing()))
  const count = async () => Number(/^e2b_sandboxes_active\{.*\} (\d+)$/m.exec((await api('GET', '/metrics')).text)[1])
  assert.equal(await count(), many)
  const r = await api('POST', '/v2/sandboxes', { templateID: 'base', timeout: 300 })
  assert.equal(r.status, 201, r.text) // the connection stands
  await until('a comparison to be over', 10000, async () => (await api('GET', `/sandboxes/${r.json.sandboxID}/metrics`)).json.length > 1)
  assert.equal(await count(), many + 1)
  assert.doesNotMatch(i.logText(), /unread_answers|event=sandbox_lost|event=reconcile_failed/)
})

claim('a stop ends them all', async () => {
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i, 10000), [])
})
