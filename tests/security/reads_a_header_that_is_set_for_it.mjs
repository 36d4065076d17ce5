// SPDX-License-Identifier: Apache-2.0
// A header that rules set on a sandbox's requests is a secret: it arrives at the server that it is for, and the sandbox finds it nowhere, has
// it sent to nobody else, and cannot have it thrown away. The flows are in egress/transforms.mjs, in the world of escapes_through_the_network.
// Control: without a rule nothing is set, and the sandbox sees the server's own certificate.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { World } from './egress/world.mjs'

test('a header that is set for a sandbox reaches its server and nobody else', { timeout: 800000 }, async (t) => {
  const world = new World()
  t.after(() => world.end())
  world.makeNetworks()
  await world.startServers()
  const made = spawnSync('python3', [join(import.meta.dirname, 'egress', 'origin.py'), world.dir, 'certificates'], { encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  world.inside(world.X, 'python3', join(import.meta.dirname, 'egress', 'origin.py'), world.dir, 'serve')
  await world.ready('origin')
  const results = await world.runFlows('transforms.mjs')
  for (const r of results)
    await t.test(r.name, () => {
      if (r.error) assert.fail(r.error)
    })
  await t.test('there were at least eighty flows', () => assert.ok(results.length >= 80, `only ${results.length}`))
})
