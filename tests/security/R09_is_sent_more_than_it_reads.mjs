// SPDX-License-Identifier: Apache-2.0
// Attack: a program that never reads what it is sent, and a client that sends on.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, pids, sandboxPids, status } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

claim('input that nobody reads is refused, and is kept neither by the API nor by the agent', { timeout: 120_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  const api = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const agent = sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
  const reader = await s.commands.run('head -c 100000 | wc -c', { background: true, stdin: true })
  await s.commands.sendStdin(reader.pid, 'x'.repeat(100_000))
  assert.equal((await reader.wait()).stdout.trim(), '100000', 'the control: input arrives')
  const deaf = await s.commands.run('sleep 100', { background: true, stdin: true })
  const before = [rss(api), rss(agent)]
  let taken = 0, refused = 0
  await withVictim(t, 'R09', async () => {
    for (let i = 0; i < 48 && refused < 3; i++) {
      try {
        await s.commands.sendStdin(deaf.pid, 'x'.repeat(1 << 20), { requestTimeoutMs: 2000 })
        taken++
      } catch {
        refused++
      }
    }
  })
  const grown = [rss(api) - before[0], rss(agent) - before[1]]
  console.error(`# R09: ${taken} MiB taken, ${refused} refused; the API grew by ${grown[0]} KiB, the agent by ${grown[1]} KiB`)
  assert.ok(refused > 0, 'it took everything')
  assert.ok(grown[0] < 24 * 1024 && grown[1] < 24 * 1024, `${grown} KiB`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
