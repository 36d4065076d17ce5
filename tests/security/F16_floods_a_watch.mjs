// SPDX-License-Identifier: Apache-2.0
// Attack: make more file events than a watcher can take, so that they pile up in a service.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, pids, sandboxPids, status, until } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

claim('a storm of renames fills neither the agent nor the API', { timeout: 120_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  const api = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const agent = sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
  await s.commands.run('mkdir -p /tmp/w; touch /tmp/w/x')
  let events = 0
  const watch = await s.files.watchDir('/tmp/w', () => { events++ }, { timeoutMs: 60_000 })
  await s.commands.run('touch /tmp/w/one')
  await until('the control: an event arrives', 5000, () => events > 0)
  const before = [rss(api), rss(agent)]
  await withVictim(t, 'F16', () => s.commands.run(`python3 -c "
import os, time
os.chdir('/tmp/w')
end = time.time() + 4
n = 0
while time.time() < end:
    for i in range(100): os.rename('x', 'y'); os.rename('y', 'x')
    n += 200
print(n)
"`, { timeoutMs: 60_000 }).then((r) => assert.ok(Number(r.stdout) > 20_000, `only ${r.stdout} renames`)))
  const grown = [rss(api) - before[0], rss(agent) - before[1]]
  console.error(`# F16: ${events} events came; the API grew by ${grown[0]} KiB, the agent by ${grown[1]} KiB`)
  assert.ok(grown[0] < 32 * 1024 && grown[1] < 32 * 1024, `${grown} KiB`)
  await watch.stop().catch(() => {})
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
