// SPDX-License-Identifier: Apache-2.0
// A sandbox beside the attacked one. It must answer all the time; how fast is printed, before and during, and asserted nowhere: this
// machine is not alone in the world. It is asked by a thread of its own, since the attacker may be a client that is flooded.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
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
  const client = new Worker(new URL(import.meta.url), { workerData: { id: victim.sandboxId } })
  // Fails if the victim was not served.
  const end = once(client, 'exit').then(([code]) => assert.equal(code, 0, 'the client of the victim ended before its time'))
  const said = async () => (await Promise.race([once(client, 'message'), end]))?.[0]
  try {
    const before = await said()
    const result = await attack(victim)
    const answer = said()
    client.postMessage('over')
    const during = await answer
    assert.ok(during.length > 0, 'the victim was never served')
    const at = (list) => `${percentile(list, 0.5).toFixed(1)}/${percentile(list, 0.99).toFixed(1)}`
    console.error(`# ${name}: a command of the victim took ${at(before)} ms (p50/p99) before, ${at(during)} ms during the attack (${during.length} times; p99 x ${(percentile(during, 0.99) / percentile(before, 0.99)).toFixed(1)})`)
    return result
  } finally {
    await client.terminate()
  }
}

if (!isMainThread && workerData?.id) {
  const victim = await Sandbox.connect(workerData.id)
  const before = []
  for (let i = 0; i < 30; i++) before.push(await ask(victim))
  parentPort.postMessage(before)
  const during = []
  let over = false
  parentPort.once('message', () => (over = true))
  do during.push(await ask(victim))
  while (!over)
  parentPort.postMessage(during)
}
