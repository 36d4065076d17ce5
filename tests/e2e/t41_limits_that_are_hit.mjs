// SPDX-License-Identifier: Apache-2.0
// Each limit, reached: what is said, what is counted, and that nobody else notices.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import { api, claim, e2b, http, Sandbox, withSandboxes } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { installImage, variantOfBase } from '../lib/image.mjs'
import { cgroupDirs, isAlive, monitorPid, sandboxPids, until } from '../lib/host.mjs'

const read = (dirs, file) => dirs.filter((d) => existsSync(join(d, file))).map((d) => readFileSync(join(d, file), 'utf8').trim())
const metric = async (name, url) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec((await http('GET', '/metrics', { url })).text)?.[1])
// What this host allows at most: a sandbox cannot have more than its host.
const hard = (which) => {
  const text = spawnSync('bash', ['-c', `ulimit -H ${which}`], { encoding: 'utf8' }).stdout.trim()
  return text === 'unlimited' ? Infinity : Number(text)
}
const python = (code) => `python3 - <<'END'\n${code}\nEND`

claim('an out-of-memory kill is told apart from an exit, is counted, and spares the monitor', async (t) => {
  const before = await metric('e2b_oom_kills_total')
  const template = variantOfBase({ memoryMB: 128 })
  t.after(() => template.remove())
  const s = await Sandbox.create(template.name, { timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const monitor = monitorPid(s.sandboxId)
  // Most of it in a file and small processes all around: the monitor is among the larger ones, and must not be chosen all the same.
  await s.commands.run('head -c 64M /dev/zero > /dev/shm/filler; for i in $(seq 20); do sleep 60 >/dev/null 2>&1 & done', { timeoutMs: 20000 })
  for (let k = 0; k < 3; k++) await s.commands.run('head -c 200M /dev/zero > /dev/shm/more; rm -f /dev/shm/more', { timeoutMs: 20000 }).catch(() => {})
  await until('the kill to be seen', 10000, async () => (await api('GET', `/sandboxes/${s.sandboxId}`)).json?.isolation?.oomKills > 0 || !isAlive(monitor))
  assert.ok(isAlive(monitor), 'the monitor was the victim')
  assert.deepEqual(read(cgroupDirs(s.sandboxId).filter((d) => /\/memory\/|\/box$/.test(d)), 'cgroup.procs').filter((text) => text.split('\n').includes(String(monitor))), [], 'the monitor is in the group that has the limit')
  const gone = await Sandbox.create(template.name, { timeoutMs: 120_000 })
  await gone.commands.run('head -c 1 /dev/zero; python3 -c "x = bytearray(1 << 30)"').then(() => assert.fail('it was not killed'), (e) => assert.ok(e instanceof e2b.CommandExitError && (e.exitCode === 137 || /killed/.test(e.error)), String(e)))
  await gone.kill() // before any sample of it was taken
  await until('kills of ended sandboxes to count', 5000, async () => (await metric('e2b_oom_kills_total')) >= before + 2)
})

claim('a sandbox whose agent is the victim ends with cause oom', async (t) => {
  const template = variantOfBase({ memoryMB: 128 })
  t.after(() => template.remove())
  const s = await Sandbox.create(template.name, { timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const { agentPid } = (await api('GET', `/sandboxes/${s.sandboxId}`)).json.isolation
  assert.equal(readFileSync(`/proc/${agentPid}/oom_score_adj`, 'utf8'), '250\n', 'the host would not take sandboxes before its own programs')
  writeFileSync(`/proc/${agentPid}/oom_score_adj`, '1000') // so that it is the one: the others are small, what they write is not
  s.commands.run('exec head -c 250M /dev/zero > /dev/shm/all', { timeoutMs: 20000 }).catch(() => {})
  await until('it to end', 20000, async () => (await api('GET', `/sandboxes/${s.sandboxId}`)).status === 404)
  const ended = (proc) => readFileSync(process.env.FIREBREAK_T_LOG, 'utf8').split('\n').find((l) => l.includes(s.sandboxId) && l.includes(`proc=${proc} `) && /event=sandbox_ended/.test(l))
  assert.match(ended('warden'), /cause=oom/)
  assert.match(ended('e2b-sandbox'), /cause=oom oom_kills=[1-9]/)
})

claim('descriptors end at 65536 of a process, terminals at 256 of the sandbox, and both come back', async (t) => {
  const [s, other] = await withSandboxes(t, 2)
  const r = await s.commands.run(python(`
import os, errno, resource
fds = []
try:
    while True: fds.append(os.dup(0))
except OSError as e: print(errno.errorcode[e.errno], fds[-1] + 1)
for f in fds: os.close(f)
try: n = resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1; resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)); print("raised")
except (ValueError, OSError) as e: print("not raised")
ptys = []
try:
    while True: ptys.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError as e: print(errno.errorcode[e.errno], len(ptys))`), { user: 'root' })
  assert.equal(r.stdout, `EMFILE ${Math.min(65536, hard('-n'))}\nnot raised\nENOSPC 256\n`)
  assert.equal((await s.commands.run('script -qc "echo works" /dev/null || echo works')).stdout.trim(), 'works')
  assert.equal((await other.commands.run('echo works')).stdout, 'works\n')
})

claim('inodes, locked memory, message queues and pending signals end where the manual says', async (t) => {
  const [s] = await withSandboxes(t, 1)
  const locked = Math.min(64 << 20, 1024 * hard('-l'))
  const r = await s.commands.run(python(`
import resource, ctypes, errno, mmap
for n in ("RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_SIGPENDING"): print(n, *resource.getrlimit(getattr(resource, n)))
c = ctypes.CDLL(None, use_errno=True)
m = mmap.mmap(-1, 128 << 20)
print(c.mlock(ctypes.addressof(ctypes.c_char.from_buffer(m)), ctypes.c_size_t(128 << 20)), errno.errorcode[ctypes.get_errno()])`))
  assert.equal(r.stdout, `RLIMIT_CORE 1 1\nRLIMIT_MEMLOCK ${locked} ${locked}\nRLIMIT_MSGQUEUE 819200 819200\nRLIMIT_SIGPENDING 4096 4096\n-1 ENOMEM\n`)
})

claim('the CPU quota is that of the template, and what runs in the sandbox is held by it', async (t) => {
  const template = variantOfBase({ cpuCount: 1 })
  t.after(() => template.remove())
  const s = await Sandbox.create(template.name, { timeoutMs: 120_000 })
  t.after(() => s.kill())
  const group = cgroupDirs(s.sandboxId).find((d) => d.endsWith(s.sandboxId) && (existsSync(join(d, 'cpu.cfs_quota_us')) || existsSync(join(d, 'cpu.max'))))
  const v1 = existsSync(join(group, 'cpu.cfs_quota_us'))
  const quota = v1 ? read([group], 'cpu.cfs_quota_us')[0] : read([group], 'cpu.max')[0].split(' ')[0]
  assert.equal(quota, '100000')
  // A tenth of it is reached on the busiest machine; the kernel counts the periods in which the group had to stop.
  writeFileSync(join(group, v1 ? 'cpu.cfs_quota_us' : 'cpu.max'), v1 ? '10000' : '10000 100000')
  await s.commands.run('for i in 1 2 3 4; do timeout 2 sh -c "while :; do :; done" & done; wait; true', { timeoutMs: 60000 })
  const stat = read([group], 'cpu.stat')[0]
  assert.ok(Number(/nr_throttled (\d+)/.exec(stat)[1]) > 5, stat)
})

claim('weight, and throughput of the disk where there is one, are what the template says', async (t) => {
  const bytes = 24 << 20
  const image = installImage((tree) => writeFileSync(join(tree, 'big'), randomBytes(bytes)), { cpuShares: 2048, ioMBps: 8 })
  t.after(() => image.remove())
  const s = await Sandbox.create(image.name, { timeoutMs: 120_000 })
  t.after(() => s.kill())
  const dirs = cgroupDirs(s.sandboxId)
  assert.ok(read(dirs, 'cpu.shares').includes('2048') || read(dirs, 'cpu.weight').length > 0)
  const log = readFileSync(process.env.FIREBREAK_T_LOG, 'utf8')
  const disk = /event=warden_ready .*io_limits=(\S+)/.exec(log)[1]
  if (disk === 'none') return t.diagnostic('the templates lie on no block device: no limit, and warden_ready says so')
  const limits = [...read(dirs, 'blkio.throttle.read_bps_device'), ...read(dirs, 'io.max')].filter((l) => l.startsWith(disk))
  assert.match(limits[0], new RegExp(`^${disk} (rbps=)?${8 << 20}`))
  // Out of the page cache with it, so that the disk is asked.
  const file = join(process.env.FIREBREAK_T_STATE, 'templates', `${JSON.parse(readFileSync(join(process.env.FIREBREAK_T_STATE, 'templates', `${image.name}.json`))).digest}.erofs`)
  assert.equal(spawnSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']).status, 0)
  const began = performance.now()
  assert.equal((await s.commands.run('/bin/busybox cat /big | /bin/busybox wc -c', { timeoutMs: 60000 })).stdout, `${bytes}\n`)
  const seconds = (performance.now() - began) / 1000
  // No faster than the limit allows: a lower bound, which a slow machine cannot break.
  assert.ok(seconds > bytes / (8 << 20) / 2, `${bytes >> 20} MiB came in ${seconds.toFixed(2)} s`)
  assert.ok(statSync(file).size > bytes)
})

// --- caps over all sandboxes ---

const instances = []
after(() => Promise.all(instances.map((i) => i.end())))
async function instance(...args) {
  const i = await Instance.start({ args })
  instances.push(i)
  return i
}
const create = (i) => http('POST', '/v2/sandboxes', { url: i.url, headers: { 'X-API-Key': i.key }, body: { templateID: 'base', timeout: 60 } })

claim('too little memory on the host is 503 with a reason and a time to try again', async () => {
  const i = await instance('--reserve-memory', '4000000') // more than there is: as if somebody had taken it
  const r = await create(i)
  assert.equal(r.status, 503, r.text)
  assert.equal(r.json.error_code, 'sandbox_capacity_unavailable')
  assert.match(r.json.message, /memory/)
  assert.match(r.headers['retry-after'], /^\d+$/)
  assert.match(i.logText(), /event=sandbox_refused .*why=host_memory/)
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})

claim('the cap over all sandboxes is 429 before it is reached, and in the kernel if it is', async () => {
  const i = await instance('--total-memory', '700', '--total-pids', '300')
  const s = await Sandbox.create({ ...i.sdk })
  const other = await Sandbox.create({ ...i.sdk })
  const parents = cgroupDirs(i.name).filter((d) => d.endsWith(i.name))
  assert.ok(['memory.limit_in_bytes', 'memory.max'].flatMap((f) => read(parents, f)).includes(String(700 << 20)))
  assert.ok(read(parents, 'pids.max').includes('300'))
  await s.commands.run('head -c 400M /dev/zero > /tmp/filler')
  const r = await create(i)
  assert.equal(r.status, 429, r.text)
  assert.match(r.json.message, /--total-memory/)
  await s.commands.run('rm /tmp/filler')
  const third = await Sandbox.create({ ...i.sdk })
  assert.equal((await third.commands.run('echo works')).stdout, 'works\n')
  await third.kill()
  // 300 processes in all, though each sandbox may have 1024.
  const forks = await s.commands.run(python(`
import os, time, errno
n = 0
try:
    while n < 1000:
        if os.fork() == 0: time.sleep(20); os._exit(0)
        n += 1
except OSError as e: print(errno.errorcode[e.errno], n < 300)`))
  assert.equal(forks.stdout, 'EAGAIN True\n')
  assert.ok(sandboxPids(other.sandboxId).length >= 2, 'the neighbour lives')
  await s.kill()
  assert.equal((await other.commands.run('echo works')).stdout, 'works\n')
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
