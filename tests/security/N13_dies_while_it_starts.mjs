// SPDX-License-Identifier: Apache-2.0
// Attack: have the monitor killed at every moment of a start, so that something half-built stays.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs, commandLine, exe, pids, until } from '../lib/host.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

const children = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

claim('a start whose monitor is killed fails, or was over; forty moments leave nothing', { timeout: 120_000 }, async () => {
  const neighbour = await Sandbox.create({ ...i.sdk, timeoutMs: 120_000 })
  const warden = pids().find((p) => /\/warden$/.test(exe(p)) && commandLine(p).includes(i.run))
  const known = new Set(children(warden))
  let hit = 0, failed = 0, late = 0
  for (let n = 0; n < 40; n++) {
    const asked = Sandbox.create({ ...i.sdk, timeoutMs: 60_000, requestTimeoutMs: 20_000 }).then((s) => s, (e) => e)
    let over = false
    asked.then(() => (over = true))
    let monitor
    while (!over && !(monitor = children(warden).find((p) => !known.has(p)))) await new Promise(setImmediate)
    const began = performance.now()
    while (performance.now() - began < n * 0.6) await new Promise(setImmediate)
    if (monitor) {
      try {
        process.kill(monitor, 'SIGKILL')
        hit++
      } catch {}
    }
    const r = await asked
    if (r instanceof Error) {
      failed++
      assert.match(r.message, /could not start the sandbox: .+/, 'the failure has no name')
    } else {
      late++
      known.add(monitor)
      await r.kill().catch(() => {})
    }
  }
  console.error(`# N13: ${hit} monitors killed, ${failed} starts failed, ${late} were over`)
  assert.ok(hit >= 35 && failed >= 5, 'hardly any start was hit')
  await until('only the neighbour to be there', 5000, async () => (await Sandbox.list({ ...i.sdk }).nextItems()).length === 1)
  await until('its groups only', 5000, () => new Set(cgroupDirs(i.name).map((d) => /\/(i[a-z0-9]{19})/.exec(d)?.[1]).filter(Boolean)).size === 1)
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  const fresh = await Sandbox.create({ ...i.sdk })
  assert.equal((await fresh.commands.run('echo works')).stdout, 'works\n')
  await Promise.all([fresh.kill(), neighbour.kill()])
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
