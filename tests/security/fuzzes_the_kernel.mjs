// SPDX-License-Identifier: Apache-2.0
// Attack: find a mistake of the kernel by trying everything: stress-ng's stressors of the classes os, filesystem, memory and scheduler, and
// trinity, which calls at random. FIREBREAK_STRESS_SECONDS says how long each of the two lasts (12); FIREBREAK_SEED where they begin.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, isAlive, monitorPid, pids, sandboxPids, until } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const seconds = Number(process.env.FIREBREAK_STRESS_SECONDS ?? 12)
let seed = Number(process.env.FIREBREAK_SEED ?? Date.now() % 1e6)
const limit = { timeout: seconds * 3000 + 120_000 }

const buffer = (file) => {
  const b = readFileSync(file)
  return b.buffer.slice(b.byteOffset, b.byteOffset + b.length)
}

// A program of the host and its libraries, beside those of the image.
async function bring(s, name) {
  const program = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
  const libraries = [...execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/=> (\/\S+)/g)].map((m) => m[1]).filter((f) => !/\/lib[cm]\.so/.test(f))
  await s.files.write([{ path: `/opt/attack/${name}`, data: buffer(program) }, ...libraries.map((f) => ({ path: `/opt/attack/lib/${basename(f)}`, data: buffer(f) }))], { user: 'root' })
  await s.commands.run('chmod -R a+rx /opt/attack; mkdir -pm 1777 /opt/work', { user: 'root' })
}
const kernelLog = () => spawnSync('dmesg', [], { encoding: 'utf8', maxBuffer: 64 << 20 }).stdout.split('\n')
// What the kernel says when one of its own assumptions does not hold; not what it says when a sandbox has used its memory up.
const alarm = /\b(WARNING: CPU|WARNING: possible|BUG:|Oops|general protection|UBSAN|KASAN|KFENCE|soft lockup|hard LOCKUP|blocked for more than|refcount_t|list_(add|del) corruption|scheduling while atomic|unable to handle)/
const services = () => pids().filter((p) => /\/(warden|e2b-sandbox)$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))

// Runs attack(s, victim) in a sandbox of its own, and looks at everything that must have stood it.
async function underFire(t, name, attack) {
  const s = await Sandbox.create({ timeoutMs: seconds * 2000 + 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const alive = [...services(), monitorPid(s.sandboxId)]
  assert.equal(alive.length, 3, 'the warden, the API and the monitor')
  const lines = new Set(kernelLog())
  await withVictim(t, name, () => attack(s))
  assert.deepEqual(alive.filter((p) => !isAlive(p)), [], 'a process that holds the sandbox is dead')
  const bad = kernelLog().filter((l) => !lines.has(l) && alarm.test(l))
  assert.deepEqual(bad, [], 'the kernel complains')
  // Whatever it has made of itself inside: it ends when it is told to.
  const all = sandboxPids(s.sandboxId)
  await s.kill()
  await until('all of it to be gone', 5000, () => !all.some(isAlive))
}

claim(`stress-ng for ${seconds} s finds nothing`, limit, (t) =>
  underFire(t, 'stress-ng', async (s) => {
    console.error(`# stress-ng: FIREBREAK_SEED=${seed}`)
    await bring(s, 'stress-ng')
    const run = (args, ms) => s.commands.run(`cd /opt/work && LD_LIBRARY_PATH=/opt/attack/lib timeout -k 2 ${Math.ceil(ms / 1000)} /opt/attack/stress-ng ${args} 2>&1`, { user: 'root', timeoutMs: ms + 20_000 }).catch((e) => ({ stdout: `${e.stdout ?? ''}${e.message}` }))
    const names = new Set()
    for (const c of ['os', 'filesystem', 'memory', 'scheduler']) for (const n of (await run(`--class ${c}?`, 10_000)).stdout.replace(/.*stressors: /s, '').trim().split(/\s+/)) names.add(n)
    assert.ok(names.size > 150, `only ${names.size} stressors`)
    // A different part of them each time; all of them, again and again, in the long form.
    const list = [...names].map((n) => [(seed = (seed * 1103515245 + 12345) % 2 ** 31), n]).sort((a, b) => a[0] - b[0]).map((x) => x[1])
    const end = performance.now() + seconds * 1000
    let ran = 0
    for (let at = 0; performance.now() < end; at = (at + 8) % list.length) {
      const part = list.slice(at, at + 8)
      const r = await run(`${part.map((n) => `--${n} 1`).join(' ')} -t 3 --metrics-brief`, 10_000)
      ran += [...r.stdout.matchAll(/metrc: \[\d+\] (\S+) +\d+ +\d+\.\d+/g)].filter((m) => part.includes(m[1])).length
    }
    console.error(`# stress-ng: ${ran} stressors did something`)
    assert.ok(ran > seconds / 4, 'hardly any stressor ran: the attack did not take place')
  }))

claim(`trinity for ${seconds} s as user, and in the long form as root, finds nothing`, { timeout: 2 * limit.timeout }, async (t) => {
  const way = [['user', ''], ...(seconds >= 60 ? [['root', '--dangerous']] : [])]
  for (const [who, option] of way)
    await underFire(t, `trinity as ${who}`, async (s) => {
      await bring(s, 'trinity')
      const first = 1 + (seed % 1e6)
      console.error(`# trinity as ${who}: seed ${first}`)
      await s.commands.run(`mkdir -pm 1777 /opt/${who}`, { user: 'root' })
      // perf: it opens counters in a loop until one opens, and none ever does. The first run often crashes when it has made a list of the
      // sockets that open, of which there are few; the next one reads that list. It may kill its own shell as well.
      const one = `timeout -k 2 $((end - SECONDS)) /opt/attack/trinity -q -a 64 -C 4 -N 100000000 -s ${first} -V /opt/${who} --disable-fds=perf ${option} >out 2>&1`
      const r = await s.commands.run(`cd /opt/${who}; export LD_LIBRARY_PATH=/opt/attack/lib; end=$((SECONDS + ${seconds + (option ? 10 : 0)})); while [ $SECONDS -lt $end ]; do ${one}; done; cat trinity-child*.log | wc -l`, { user: who, timeoutMs: (seconds + 60) * 1000 }).catch((e) => ({ stdout: `${e.stdout ?? ''}\n${e.message}` }))
      console.error(`# trinity as ${who}: ${r.stdout.trim().split('\n').at(-1)} lines of calls`)
      assert.match(r.stdout, /[1-9]\d{2,}\s*$/, `it hardly called: ${r.stdout.slice(-500)}`)
    })
})
