// SPDX-License-Identifier: Apache-2.0
// The benchmark: an instance of its own, the race against other sandboxes of the same root, request rate, memory.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { sandboxPids, status, until } from '../lib/host.mjs'

const n = Number(process.env.BENCH_N ?? 40)
const seconds = Number(process.env.BENCH_SECONDS ?? 5)
const ms = (us) => (us / 1000).toFixed(2).padStart(9)
const heading = (text) => console.log(`\n${text}\n${'-'.repeat(text.length)}`)

console.log(`${cpus().length} x ${cpus()[0]?.model}, Linux ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, load ${loadavg()[0].toFixed(2)}, ${n} samples of each kind`)
const i = await Instance.start()
const root = join(i.dir, 'root')
const bundle = join(i.dir, 'bundle')
let mounted = false
try {
  // --- the same root for all
  mkdirSync(root)
  mkdirSync(bundle)
  const { digest } = JSON.parse(readFileSync(join(i.state, 'templates', 'base.json')))
  const image = join(i.state, 'templates', `${digest}.erofs`)
  const attempts = [['-o', 'ro'], ['-o', 'ro,loop']] // newer kernels mount the file itself
  mounted = attempts.some((o) => spawnSync('mount', ['-t', 'erofs', ...o, image, root]).status === 0)
  if (!mounted) throw new Error(`cannot mount ${image}`)
  execFileSync('crun', ['spec'], { cwd: bundle })
  const spec = JSON.parse(readFileSync(join(bundle, 'config.json')))
  spec.process.args = ['/bin/true']
  spec.process.terminal = false
  spec.root = { path: root, readonly: true }
  spec.linux.resources = { memory: { limit: 2 ** 31 }, pids: { limit: 1024 }, cpu: { quota: 200000, period: 100000 } }
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec))
  const race = join(i.dir, 'race')
  execFileSync('cc', ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-Wall', '-o', race, join(import.meta.dirname, 'race.c')])

  // crun refuses a hybrid host: it gets a mount namespace in which the v2 mount is not there.
  const without = "if grep -q ' /sys/fs/cgroup/unified cgroup2 ' /proc/mounts; then umount /sys/fs/cgroup/unified; fi; exec \"$@\""
  const r = spawnSync('unshare', ['--mount', 'sh', '-c', without, 'sh', race, String(i.port), i.key, String(n), '--', 'bwrap', '--unshare-all', '--die-with-parent', '--ro-bind', root, '/',
    '--proc', '/proc', '--dev', '/dev', '/bin/true', '--', 'crun', '--log', join(i.dir, 'crun.log'), 'run', '--bundle', bundle], { encoding: 'utf8' })
  if (r.status !== 0) throw new Error(`the race failed: ${r.stdout}${r.stderr}`)
  const rows = r.stdout.trim().split('\n').map((l) => l.split(' ')).map(([who, mode, stage, , p50, p99, min]) => ({ who, mode, stage, p50: +p50, p99: +p99, min: +min }))

  heading('true in a fresh sandbox (ms)')
  console.log('contender  mode   until          p50       p99       min   p50 / bwrap  p50 / crun')
  for (const row of rows) {
    const whole = (who) => rows.find((x) => x.who === who && x.mode === row.mode && x.stage === 'whole').p50
    console.log(`${row.who.padEnd(10)} ${row.mode.padEnd(6)} ${row.stage.padEnd(8)}${ms(row.p50)} ${ms(row.p99)} ${ms(row.min)}   ${(row.p50 / whole('bwrap')).toFixed(2).padStart(11)} ${(row.p50 / whole('crun')).toFixed(2).padStart(11)}`)
  }
  console.log('created: 201 of POST /v2/sandboxes; result: the end event of true; whole: 204 of DELETE, or the tool reaped.')
  console.log('firebreak goes through HTTP and SQLite, limits memory, cpu and pids, and filters system calls; bwrap does none of that; crun sets the same limits, no filter.')

  // --- requests
  heading('GET /health')
  const wrk = spawnSync('wrk', ['-t1', '-c64', `-d${seconds}s`, '--latency', `${i.url}/health`], { encoding: 'utf8' })
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(wrk.stdout)?.[1]
  const at = (p) => new RegExp(`${p}%\\s+(\\S+)`).exec(wrk.stdout)?.[1]
  console.log(`${rate} requests/s over 64 connections; p50 ${at(50)}, p99 ${at(99)}${/Non-2xx.*/.exec(wrk.stdout)?.[0] ?? ''}`)

  // --- memory
  heading('memory (PSS, KiB)')
  const pss = (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
  for (const name of ['firebreak', 'warden', 'e2b-sandbox']) {
    const pid = name === 'firebreak' ? i.child.pid : i.daemon(name)
    console.log(`${name.padEnd(28)}${String(pss(pid)).padStart(8)}`)
  }
  const ids = []
  for (let k = 0; k < 8; k++) {
    const a = await fetch(`${i.url}/v2/sandboxes`, { method: 'POST', headers: { 'X-API-Key': i.key, 'Content-Type': 'application/json' }, body: '{"templateID":"base","timeout":120}' })
    ids.push((await a.json()).sandboxID)
  }
  await sleep(500)
  const perSandbox = ids.map((id) => sandboxPids(id).reduce((sum, pid) => sum + pss(pid), 0))
  const one = sandboxPids(ids[0]).map((pid) => `${status(pid).Name} ${pss(pid)}`)
  console.log(`${'an idle sandbox, of 8'.padEnd(28)}${String(Math.round(perSandbox.reduce((a, b) => a + b) / ids.length)).padStart(8)}   (${one.join(', ')})`)
  await Promise.all(ids.map((id) => fetch(`${i.url}/sandboxes/${id}`, { method: 'DELETE', headers: { 'X-API-Key': i.key } })))
  await until('them to be gone', 5000, () => ids.every((id) => sandboxPids(id).length === 0))
} finally {
  if (mounted) spawnSync('umount', [root])
  await i.stop()
  const left = await leftoversAfterAMoment(i)
  if (left.length) console.log(`left over: ${left.join('; ')}`)
  for (const dir of (existsSync('/run/crun') ? readdirSync('/run/crun', { withFileTypes: true }) : []).filter((d) => d.name.startsWith('race-'))) console.log(`crun left ${dir.name}`)
  i.forget()
}
