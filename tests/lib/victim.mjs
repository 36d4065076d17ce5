// SPDX-License-Identifier: Apache-2.0
// A sandbox beside the attacked one. It must answer all the time; how fast is printed, before and during, and asserted nowhere: this
// machine is not alone in the world, and where the attacker is a client that is flooded (F16, R07) it is this very process that is busy.
import assert from 'node:assert/strict'
import { Sandbox } from './sdk.mjs'

const percentile = (list, p) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))]

async function ask(victim) {
  const began = performance.now()
  assert.equal((await victim.commands.run('echo works', { timeoutMs: 30000 })).stdout, 'works\n', 'the victim is not served')
  return performance.now() - began
}

// Runs attack(victim) while the victim is asked again and again; returns what attack returned.
export async function withVictim(t, name, attack) {
  const victim = await Sandbox.create({ timeoutMs: 900_000 })
  t.after(() => victim.kill())
  const before = []
  for (let i = 0; i < 30; i++) before.push(await ask(victim))
  const during = []
  let over = false
  const served = (async () => {
    do during.push(await ask(victim))
    while (!over)
  })()
  let result
  try {
    result = await attack(victim)
  } finally {
    over = true
    await served
  }
  const at = (list) => `${percentile(list, 0.5).toFixed(1)}/${percentile(list, 0.99).toFixed(1)}`
  console.error(`# ${name}: a command of the victim took ${at(before)} ms (p50/p99) before, ${at(during)} ms during the attack (${during.length} times; p99 x ${(percentile(during, 0.99) / percentile(before, 0.99)).toFixed(1)})`)
  return result
}
