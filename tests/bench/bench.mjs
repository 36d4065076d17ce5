// SPDX-License-Identifier: Apache-2.0
// The benchmark: instances of its own, the race against other sandboxes of the same root, request rate, memory, many idle sandboxes.
// BENCH_PARTS chooses: any of latency, load, http, memory, record, idle, egress.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'node:http'
import { build, Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { sandboxPids, status, until } from '../lib/host.mjs'
import { claims, issueKey, tokenKey } from '../lib/identity.mjs'

const number = (name, fallback) => Number(process.env[name] ?? fallback)
const n = number('BENCH_N', 30), seconds = number('BENCH_SECONDS', 5), rounds = number('BENCH_ROUNDS', 2), idle = number('BENCH_IDLE', 1000)
const clients = (process.env.BENCH_CLIENTS ?? '1 2 8 32').split(' ').map(Number)
const parts = new Set((process.env.BENCH_PARTS ?? 'latency load http memory record idle egress').split(' '))
const ms = (us, width = 9) => (us / 1000).toFixed(2).padStart(width)
const heading = (text) => console.log(`\n${text}\n${'-'.repeat(text.length)}`)
const load = () => `load ${loadavg()[0].toFixed(1)}`
const jobs = { 'true': ['/bin/true'], 'python3': ['python3', '-c', 'print(1)'] }

console.log(`${cpus().length} x ${cpus()[0]?.model}, Linux ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, ${load()}, ${n} samples of each kind`)
// The records and sockets of sandboxes are in /run, as in an installation.
process.env.FIREBREAK_TEST_RUN ??= '/run'
const cold = await Instance.start({ args: ['--pool-max', '0'] })
const pooled = await Instance.start({ args: ['--pool-max', '32', '--pool-memory', '256'] })
const instances = [cold, pooled]
const root = join(cold.dir, 'root')
let mounted = false

// --- contenders

const absent = []
const contenders = { 'true': [], 'python3': [] }

function tool(name, job, argv, filter = '-') {
  const line = ['tool', name, filter, ...argv].join('\t')
  const at = argv.map((w) => (w === '{id}' ? `race-try-${process.pid}-${job}-${name.replace(/\W/g, '')}` : w))
  const r = spawnSync('unshare', ['--mount', 'bash', '-c', `${withoutV2}; exec "$@" ${filter === '-' ? '' : `9<${filter}`}`, 'bash', ...at], { encoding: 'utf8', timeout: 20000, env: { PATH: process.env.PATH } })
  if (r.status === 0) contenders[job].push(line)
  else absent.push(`${name} (${job}): ${r.error?.message ?? ((r.stderr || '').trim().split('\n')[0] || `status ${r.status}`)}`)
}
// crun and podman refuse a hybrid host: all tools get a mount namespace in which the v2 mount is not there.
const withoutV2 = "if grep -q ' /sys/fs/cgroup/unified cgroup2 ' /proc/mounts; then umount /sys/fs/cgroup/unified; fi"
const has = (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0

function findContenders() {
  mkdirSync(root)
  const { digest } = JSON.parse(readFileSync(join(cold.state, 'templates', 'base.json')))
  const image = join(cold.state, 'templates', `${digest}.erofs`)
  mounted = [['-o', 'ro'], ['-o', 'ro,loop']].some((o) => spawnSync('mount', ['-t', 'erofs', ...o, image, root]).status === 0) // newer kernels mount the file itself
  if (!mounted) throw new Error(`cannot mount ${image}`)
  const filter = join(cold.dir, 'filter.bpf')
  writeFileSync(filter, execFileSync(join(build, 'tests/bench/export_filter')))
  const bwrap = ['bwrap', '--unshare-all', '--die-with-parent', '--ro-bind', root, '/', '--proc', '/proc', '--dev', '/dev']
  for (const [job, argv] of Object.entries(jobs)) {
    const bundle = join(cold.dir, `bundle-${job}`)
    mkdirSync(bundle)
    execFileSync('crun', ['spec'], { cwd: bundle })
    const spec = JSON.parse(readFileSync(join(bundle, 'config.json')))
    spec.process.args = argv
    spec.process.terminal = false
    spec.root = { path: root, readonly: true }
    spec.linux.resources = { memory: { limit: 2 ** 31 }, pids: { limit: 1024 }, cpu: { quota: 200000, period: 100000 } }
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec))
    tool('host', job, [argv[0] === 'python3' && existsSync('/usr/bin/python3') ? '/usr/bin/python3' : argv[0], ...argv.slice(1)])
    const all = {
      bwrap: [...bwrap, ...argv],
      'bwrap+seccomp': [...bwrap, '--seccomp', '9', ...argv],
      crun: ['crun', '--log', join(cold.dir, 'crun.log'), 'run', '--bundle', bundle, '{id}'],
      runsc: ['runsc', '--platform=ptrace', '--network=none', '--ignore-cgroups', '--root', join(cold.dir, 'runsc'), 'run', '--bundle', bundle, '{id}'],
      podman: ['podman', '--cgroup-manager=cgroupfs', '--runtime', has('runc') ? 'runc' : 'crun', '--root', join(cold.dir, 'podman'), '--runroot', join(cold.dir, 'podman-run'), 'run', '--rm',
        '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--rootfs', `${root}:O`, ...argv],
    }
    for (const [name, words] of Object.entries(all))
      if (has(words[0])) tool(name, job, words, name === 'bwrap+seccomp' ? filter : '-')
      else absent.push(`${name}: not installed`)
    contenders[job].push(['floor', 'kernel alone', root, ...argv].join('\t'))
    contenders[job].push(['api', 'firebreak cold', cold.port, cold.key, ...argv].join('\t'), ['api', 'firebreak pooled', pooled.port, pooled.key, ...argv].join('\t'))
  }
  for (const line of new Set(absent)) console.log(`not in the race: ${line}`)
}

const raceProgram = join(cold.dir, 'race')
function race(job, ...args) {
  const r = spawnSync('unshare', ['--mount', 'sh', '-c', `${withoutV2}; exec "$@"`, 'sh', raceProgram, ...args.map(String)], { encoding: 'utf8', input: contenders[job].join('\n') + '\n', maxBuffer: 1 << 24 })
  if (r.status !== 0) throw new Error(`the race failed: ${r.stdout}${r.stderr}`)
  return r.stdout.trim().split('\n').map((l) => l.split('\t'))
}
const ratio = (a, b) => (b ? (a / b).toFixed(2) : '-').padStart(8)

function raceLatency(job) {
  heading(`create, ${job === 'true' ? 'true' : "python3 -c 'print(1)'"}, gone: one client (ms; ${load()})`)
  const rows = race(job, 'latency', n)
  console.log('contender         mode   until       n       p50       p99       min  / bwrap / +filter  / crun  / host')
  for (const [kind, name, mode, stage, count, p50, p99, min] of rows) {
    if (kind === 'failed') {
      console.log(`${name.padEnd(17)} ${mode.padEnd(6)} failed`)
      continue
    }
    const of = (who) => Number(rows.find((x) => x[1] === who && x[2] === mode && x[3] === 'gone')?.[5] ?? 0)
    console.log(`${name.padEnd(17)} ${mode.padEnd(6)} ${stage.padEnd(8)}${count.padStart(5)} ${ms(p50)} ${ms(p99)} ${ms(min)}${ratio(p50, of('bwrap'))}  ${ratio(p50, of('bwrap+seccomp'))}${ratio(p50, of('crun'))}${ratio(p50, of('host'))}`)
  }
}

function raceLoad(job) {
  heading(`the same with more clients: ${job} (${load()})`)
  console.log('contender         clients   sandboxes/s  p50 ms    p99 ms  failed   rate / bwrap   / crun')
  for (const k of clients) {
    const rows = race(job, 'load', k, rounds)
    const rate = (who) => Number(rows.find((x) => x[1] === who)?.[5] ?? 0)
    for (const [, name, , , failed, r, p50, p99] of rows)
      console.log(`${name.padEnd(17)} ${String(k).padStart(7)} ${Number(r).toFixed(0).padStart(13)} ${ms(p50)} ${ms(p99)} ${failed.padStart(7)}   ${ratio(r, rate('bwrap')).padStart(12)} ${ratio(r, rate('crun'))}`)
  }
}

// --- memory

const pss = (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
const kernel = () => [...readFileSync('/proc/meminfo', 'utf8').matchAll(/^(Slab|PageTables|KernelStack|SecPageTables):\s+(\d+)/gm)].reduce((sum, [, , kib]) => sum + Number(kib), 0)

async function create(i, timeout = 600) {
  const a = await fetch(`${i.url}/v2/sandboxes`, { method: 'POST', headers: { 'X-API-Key': i.key, 'Content-Type': 'application/json' }, body: JSON.stringify({ templateID: 'base', timeout }) })
  const text = await a.text()
  if (a.status !== 201) throw new Error(`create: ${a.status} ${text}`)
  return JSON.parse(text).sandboxID
}
const kill = (i, id) => fetch(`${i.url}/sandboxes/${id}`, { method: 'DELETE', headers: { 'X-API-Key': i.key } })

async function memoryOf(what, make, end, count = 16) {
  await sleep(500)
  const before = kernel()
  const made = []
  for (let k = 0; k < count; k++) made.push(await make())
  await sleep(1500)
  const grown = (kernel() - before) / count
  const pids = made.map((m) => m.pids())
  const each = pids.reduce((sum, p) => sum + p.reduce((s, pid) => s + pss(pid), 0), 0) / count
  const parts = pids[0].map((pid) => `${status(pid)?.Name} ${pss(pid)}`).join(', ')
  console.log(`${what.padEnd(44)}${each.toFixed(0).padStart(6)} ${grown.toFixed(0).padStart(8)} ${(each + grown).toFixed(0).padStart(8)}   (${parts})`)
  for (const m of made) await end(m)
}

async function measureMemory() {
  heading(`memory of an idle sandbox (KiB, mean of 16; kernel: slab, page tables, stacks; ${load()})`)
  console.log(`${''.padEnd(44)}${'PSS'.padStart(6)} ${'kernel'.padStart(8)} ${'sum'.padStart(8)}`)
  const api = (i) => async () => { const id = await create(i); return { id, pids: () => sandboxPids(id) } }
  await memoryOf('firebreak, cold', api(cold), (m) => kill(cold, m.id))
  const { spawn } = await import('node:child_process')
  const children = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number).flatMap((c) => [c, ...children(c)])
  await memoryOf('bwrap sleep', async () => {
    const c = spawn('bwrap', ['--unshare-all', '--die-with-parent', '--ro-bind', root, '/', '--proc', '/proc', '--dev', '/dev', '/bin/sleep', '600'], { stdio: 'ignore' })
    return { c, pids: () => [c.pid, ...children(c.pid)] }
  }, (m) => m.c.kill('SIGKILL'))
  const warm = await Instance.start({ args: ['--pool-max', '16', '--pool-memory', '256'] })
  const ready = async () => Number(/^e2b_pool_ready (\d+)$/m.exec(await (await fetch(`${warm.url}/metrics`, { headers: { 'X-API-Key': warm.key } })).text())[1])
  try {
    const ids = []
    for (let k = 0; k < 16; k++) ids.push(await create(warm))
    await until('the pool', 20000, async () => (await ready()) >= 12)
    await sleep(1000)
    const pool = [...new Set(readdirSync(`/sys/fs/cgroup/pids/e2b-sandbox-${warm.name}`, { withFileTypes: true }).filter((d) => d.isDirectory()).map((d) => d.name))].filter((id) => !ids.includes(id))
    const each = pool.map((id) => sandboxPids(id).reduce((s, pid) => s + pss(pid), 0)).reduce((a, b) => a + b, 0) / (pool.length || 1)
    console.log(`${`firebreak, in the pool, with python3 (of ${pool.length})`.padEnd(44)}${each.toFixed(0).padStart(6)}                     (${sandboxPids(pool[0]).map((pid) => `${status(pid)?.Name} ${pss(pid)}`).join(', ')})`)
  } finally {
    instances.push(warm)
  }
  for (const [name, pid] of [['firebreak up', cold.child.pid], ['warden', cold.daemon('warden')], ['e2b-sandbox', cold.daemon('e2b-sandbox')]]) console.log(`${name.padEnd(44)}${String(pss(pid)).padStart(6)}`)
}

// --- many idle ones

// The record: durable records a second by clients with one record each on its way, and what it adds to a creation: the same instance with and without.
async function measureRecord() {
  heading('the record: durable records/s, ms to the answer p50 and p99')
  const r = spawnSync('mktemp', ['-d', '/var/tmp/firebreak-bench-record-XXXXXX'], { encoding: 'utf8' }).stdout.trim()
  mkdirSync(join(r, 'run'))
  const recorder = spawn(join(build, 'src/recorder/recorder'), ['--state', r, '--run', join(r, 'run')], { stdio: 'ignore' })
  await until('the recorder to serve', 5000, () => existsSync(join(r, 'run/recorder.sock')))
  await sleep(200)
  for (const many of [1, 8, 32, 60]) {
    const out = spawnSync(join(build, 'tests/fault/record_client'), [join(r, 'run/recorder.sock'), 'load', String(many), String(seconds)], { encoding: 'utf8' }).stdout.trim().split(' ')
    console.log(`${String(many).padStart(4)} clients ${out[0]?.padStart(8)}/s ${out[1]?.padStart(9)} ${out[2]?.padStart(9)}   (${load()})`)
  }
  recorder.kill()
  await new Promise((done) => recorder.once('exit', done))
  rmSync(r, { recursive: true })
  const without = await Instance.start({ args: ['--pool-max', '32', '--pool-memory', '256', '--record', 'off'] })
  heading('a creation from the pool with and without a record, in turn, ms p50 and p99')
  const took = [[], []]
  for (let k = 0; k < 8 * n; k++) for (const [which, i] of [pooled, without].entries()) {
    await sleep(30)
    const begun = process.hrtime.bigint()
    const id = await create(i)
    took[which].push(Number(process.hrtime.bigint() - begun) / 1000)
    await fetch(`${i.url}/sandboxes/${id}`, { method: 'DELETE', headers: { 'X-API-Key': i.key } })
  }
  for (const [which, name] of ['with', 'without'].entries()) {
    const sorted = took[which].sort((a, b) => a - b)
    console.log(`${name.padEnd(12)}${ms(sorted[sorted.length >> 1])}${ms(sorted[Math.floor(sorted.length * 0.99)])}   (${load()})`)
  }
  await without.end()
}

async function measureIdle() {
  let i, most = idle
  for (; most >= 64 && !i; most = most > 512 ? 512 : most >> 1) // the warden says how many it has places for
    i = await Instance.start({ args: ['--pool-max', '0', '--max-sandboxes', String(most), '--uid-base', '3892314112'] }).then((x) => ((x.most = most), x), () => undefined)
  if (!i) throw new Error('no instance would start')
  instances.push(i)
  heading(`${i.most} idle sandboxes alive (${load()})`)
  const headers = { 'X-API-Key': i.key, 'Content-Type': 'application/json' }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (method, path, body) => new Promise((done, failed) => {
    const began = performance.now()
    const r = request({ host: '127.0.0.1', port: i.port, method, path, agent, headers: { ...headers, ...(body && { 'Content-Length': Buffer.byteLength(body) }) } }, (a) => {
      const chunks = []
      a.on('data', (c) => chunks.push(c)).on('end', () => done({ took: performance.now() - began, status: a.statusCode, text: Buffer.concat(chunks).toString() }))
    })
    r.on('error', failed)
    r.end(body)
  })
  const measure = async (what, count, fn) => {
    const took = []
    for (let k = 0; k < count; k++) took.push(await fn(k))
    took.sort((a, b) => a - b)
    console.log(`${what.padEnd(44)} p50 ${took[count >> 1].toFixed(2).padStart(8)} ms   p99 ${took[Math.ceil(count * 0.99) - 1].toFixed(2).padStart(8)} ms`)
  }
  const body = '{"templateID":"base","timeout":3600}'
  const ids = []
  const began = performance.now(), before = kernel()
  const all = async (tag) => {
    await measure(`${tag}: GET /health`, 500, async () => (await ask('GET', '/health')).took)
    await measure(`${tag}: GET /sandboxes/ID`, 300, async (k) => (await ask('GET', `/sandboxes/${ids[(k * 37) % ids.length]}`)).took)
    await measure(`${tag}: GET /v2/sandboxes`, 200, async () => (await ask('GET', '/v2/sandboxes')).took)
    await measure(`${tag}: POST and DELETE of one more`, 60, async () => {
      const a = await ask('POST', '/v2/sandboxes', body)
      const b = await ask('DELETE', `/sandboxes/${JSON.parse(a.text).sandboxID}`)
      return a.took + b.took
    })
  }
  ids.push(await create(i, 3600))
  await all('1 sandbox')
  while (ids.length < i.most - 1) {
    const more = await Promise.all(Array.from({ length: Math.min(8, i.most - 1 - ids.length) }, () => create(i, 3600)))
    ids.push(...more)
  }
  console.log(`${ids.length} made in ${((performance.now() - began) / 1000).toFixed(1)} s; kernel memory of each ${((kernel() - before) / ids.length).toFixed(0)} KiB`)
  await all(`${ids.length} sandboxes`)
  agent.destroy()
}

try {
  execFileSync('cc', ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-Wall', '-pthread', '-o', raceProgram, join(import.meta.dirname, 'race.c')])
  findContenders()
  if (parts.has('latency')) for (const job of Object.keys(jobs)) raceLatency(job)
  if (parts.has('load')) for (const job of Object.keys(jobs)) raceLoad(job)
  if (parts.has('latency') || parts.has('load')) {
    console.log('\nkernel alone: eight namespaces, a root and /proc, the program, their end; no tool, limit, filter or request. Nothing that makes a fresh sandbox for each can have a higher rate.')
console.log('\ncreated: 201 of POST /v2/sandboxes; result: the end event of the program; gone: 204 of DELETE, or the tool reaped.')
    console.log('firebreak goes through HTTP and SQLite, limits memory, cpu and pids, and filters system calls; bwrap has no limits; crun, runsc and podman run in a mount namespace without the v2 mount.')
  }
  if (parts.has('http')) {
    heading(`GET /health, and requests that need a credential (${load()})`)
    // A path that is answered by nothing but the judgement (501), and one that does something.
    const only = '/snapshots', list = '/v2/sandboxes'
    const hit = (what, path, header) => {
      const wrk = spawnSync('wrk', ['-t1', '-c64', `-d${seconds}s`, '--latency', ...(header ? ['-H', header] : []), `${cold.url}${path}`], { encoding: 'utf8' })
      const rate = /Requests\/sec:\s+([\d.]+)/.exec(wrk.stdout)?.[1]
      const at = (p) => new RegExp(`^ +${p}%\\s+(\\S+)`, 'm').exec(wrk.stdout)?.[1]
      const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(wrk.stdout)?.[1] ?? 0)
      console.log(`${`GET ${path}, ${what}`.padEnd(44)}${Number(rate).toFixed(0).padStart(8)} requests/s over 64 connections; p50 ${at(50)}, p99 ${at(99)}${bad && path !== only ? `; ${bad} were no 2xx` : ''}`)
    }
    hit('no credential', '/health')
    for (const path of [only, list]) {
      hit('API key', path, `X-API-Key: ${cold.key}`)
      for (const alg of ['HS256', 'EdDSA']) {
        const k = await tokenKey(cold, alg)
        hit(`${alg} token`, path, `Authorization: Bearer ${k.make(claims('bench'))}`)
      }
    }
    for (let k = 0; k < 1000; k++) await issueKey(cold, { owner: `bench-${k}` })
    hit('API key, one of 1001', only, `X-API-Key: ${cold.key}`)
  }
  if (parts.has('memory')) await measureMemory()
  if (parts.has('record')) await measureRecord()
  if (parts.has('idle')) await measureIdle()
  if (parts.has('egress')) {
    heading('Networks')
    spawnSync(process.execPath, [join(import.meta.dirname, 'egress.mjs')], { stdio: 'inherit' }) // says what went wrong
  }
} finally {
  if (mounted) spawnSync('umount', [root])
  for (const i of instances) {
    await i.stop()
    const left = await leftoversAfterAMoment(i)
    if (left.length) console.log(`left over: ${left.join('; ')}`)
    i.forget()
  }
  for (const dir of (existsSync('/run/crun') ? readdirSync('/run/crun', { withFileTypes: true }) : []).filter((d) => d.name.startsWith('race-'))) console.log(`crun left ${dir.name}`)
}
