// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, e2b, Sandbox, http } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'

let i
before(async () => {
  i = await Instance.start({ args: ['--max-sandboxes', '2'] })
})
after(() => i?.end())

claim('one sandbox more than the machine may hold is 429, and one less makes room', async () => {
  const made = [await Sandbox.create({ ...i.sdk }), await Sandbox.create({ ...i.sdk })]
  const r = await http('POST', '/v2/sandboxes', { url: i.url, headers: { 'X-API-Key': i.key }, body: { templateID: 'base' } })
  assert.equal(r.status, 429, r.text)
  assert.equal(r.json.code, 429)
  assert.match(r.json.message, /2/)
  await assert.rejects(Sandbox.create({ ...i.sdk, retries: 0 }), e2b.RateLimitError)
  assert.equal((await made[0].commands.run('echo works')).stdout, 'works\n')
  await made[0].kill()
  const third = await Sandbox.create({ ...i.sdk })
  assert.equal((await third.commands.run('echo works')).stdout, 'works\n')
  await Promise.all([third.kill(), made[1].kill()])
})

claim('the refused one left nothing', async () => {
  assert.deepEqual(await Sandbox.list({ ...i.sdk }).nextItems(), [])
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
