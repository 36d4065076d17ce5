// SPDX-License-Identifier: Apache-2.0
// Attacks W01-W17: whatever a sandbox tries, it reaches what its policy says and nothing else. The whole instance runs in a network
// namespace of the test, between an "internet" with public addresses, a LAN and a metadata service, which exist nowhere else; the flows are
// in egress/flows.mjs. Control: the same flows succeed as soon as the rules are gone from the kernel.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './egress/world.mjs'

test('a sandbox reaches what its policy says and nothing else', { timeout: 800000 }, async (t) => {
  const world = new World()
  t.after(() => world.end())
  world.makeNetworks()
  await world.startServers()
  const results = await world.runFlows('flows.mjs')
  for (const r of results)
    await t.test(r.name, () => {
      if (r.error) assert.fail(r.error)
    })
  await t.test('there were at least sixty flows', () => assert.ok(results.length >= 60, `only ${results.length}`))
})
