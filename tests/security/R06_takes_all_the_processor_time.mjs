// SPDX-License-Identifier: Apache-2.0
// Attack: a thousand threads that spin, yield and set timers.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const numbers = (id, file) => cgroupDirs(id).filter((d) => d.endsWith(id) && existsSync(join(d, file))).map((d) => readFileSync(join(d, file), 'utf8'))
// How many periods the kernel has watched over, and in how many it had to stop the sandbox.
const watched = (id, word) => Math.max(0, ...numbers(id, 'cpu.stat').map((s) => Number(new RegExp(`^${word} (\\d+)`, 'm').exec(s)?.[1] ?? 0)))

claim('one processor is one processor, and the victim has the rest', { timeout: 120_000 }, async (t) => {
  // A template that may use one processor; the machine of this test has two or more, or the victim would have nothing.
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  const recipe = JSON.parse(readFileSync(join(store, 'base.json')))
  writeFileSync(join(store, 'one-cpu.json'), JSON.stringify({ ...recipe, name: 'one-cpu', aliases: [], cpuCount: 1 }), { mode: 0o644 })
  t.after(() => rmSync(join(store, 'one-cpu.json')))
  const s = await Sandbox.create('one-cpu', { timeoutMs: 120_000 })
  t.after(() => s.kill())
  const before = [watched(s.sandboxId, 'nr_periods'), watched(s.sandboxId, 'nr_throttled')]
  const r = await withVictim(t, 'R06', () => s.commands.run(`python3 - <<'E'
import os, resource, signal, time
began = time.monotonic()
for i in range(600):
    if os.fork() == 0:
        if i % 3 == 1: signal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        while time.monotonic() < began + 6:
            if i % 3 == 2: os.sched_yield()
        os._exit(0)
for i in range(600): os.wait()
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print((u.ru_utime + u.ru_stime) / (time.monotonic() - began))
E`, { timeoutMs: 100_000 }))
  const periods = watched(s.sandboxId, 'nr_periods') - before[0]
  const times = watched(s.sandboxId, 'nr_throttled') - before[1]
  console.error(`# R06: used ${r.stdout.trim()} of one processor, stopped by the quota in ${times} of ${periods} periods`)
  // On a machine that is busy with other things it does not get so far as to be stopped often.
  assert.ok(periods > 20, 'the quota did not watch it: the attack did not take place, or nothing limits it')
  assert.ok(Number(r.stdout) < 1.06, `used ${r.stdout} processors of 1`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
