// SPDX-License-Identifier: Apache-2.0
// Attack: find the one flag, limit, mount or descriptor that a change has let slip. All of a sandbox's posture in one place, as tables of
// what must be there exactly; each line is a test of its own, so that one changed flag fails one named line. Why each is so is said where
// it is set: lib/jail/init.c, src/jailmon/build.c, src/warden/main.c, src/envd/spawn.c.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, firstUid, monitorPid, pids, sandboxPids, status, until } from '../lib/host.mjs'

const run = process.env.FIREBREAK_T_RUN
const CAPABILITIES = ('chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin ' +
  'net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time').split(' ')
const inside = 'chown dac_override fowner fsetid kill setgid setuid net_bind_service'
// A limit is never raised above what the service was started with.
const own = Object.fromEntries(readFileSync('/proc/self/limits', 'utf8').trim().split('\n').slice(1).map((l) => [l.slice(0, 26).trim(), l.slice(26).trim().split(/\s{2,}/)]))
const most = (name, n) => (own[name][1] === 'unlimited' || Number(own[name][1]) >= n ? n : Number(own[name][1]))
const both = (name, n) => `${most(name, n)} ${most(name, n)}`
const same = (name) => own[name].slice(0, 2).join(' ')

let sandbox, neighbour, first
const seen = {} // by the name of a line
const capabilities = (hex) => {
  const set = BigInt(`0x${hex}`)
  return [...Array(64).keys()].filter((n) => (set >> BigInt(n)) & 1n).map((n) => CAPABILITIES[n] ?? `cap_${n}`).join(' ')
}
const relative = (ids) => [...new Set(ids)].map((n) => (n >= first && n < first + 65536 ? `+${n - first}` : `${n}`)).join(' ')
const link = (path) => {
  try {
    return readlinkSync(path)
  } catch (e) {
    return e.code
  }
}

const kindOf = (target) =>
  target === process.env.FIREBREAK_T_LOG ? 'log'
  : target.startsWith('/sys/fs/cgroup/') && target.includes(`/${sandbox.sandboxId}/`) ? 'its control files'
  : /^(\/tmp)?(\/layer)?\/upper$/.test(target) ? 'the upper layer'
  : target.startsWith(`${process.env.FIREBREAK_T_STATE}/db/`) ? 'database'
  : target === `${process.env.FIREBREAK_T_STATE}/templates` ? 'templates'
  : target.replace(/:\[\d+\]$/, '')

function lookAt(who, pid) {
  const s = status(pid)
  const note = (what, value) => (seen[`${who}: ${what}`] = String(value))
  note('user ids', relative(s.Uid))
  note('group ids', relative(s.Gid))
  note('supplementary groups', relative(s.Groups.split(' ').filter(Boolean).map(Number)))
  for (const [set, name] of Object.entries({ CapInh: 'inheritable', CapPrm: 'permitted', CapEff: 'effective', CapBnd: 'bounding', CapAmb: 'ambient' }))
    note(`${name} capabilities`, capabilities(s[set]))
  note('no_new_privs', s.NoNewPrivs)
  note('seccomp mode', s.Seccomp)
  note('seccomp filters', s.Seccomp_filters ?? '?')
  note('umask', s.Umask)
  if (who === 'root' || who === 'user') note('ignored signals', s.SigIgn) // a daemon has those of whoever started it
  note('traced by', s.TracerPid)
  note('oom_score_adj', readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim())
  for (const line of readFileSync(`/proc/${pid}/limits`, 'utf8').trim().split('\n').slice(1))
    note(`limit of ${line.slice(0, 26).trim().toLowerCase().replace(/^max /, '')}`, line.slice(26).trim().split(/\s+/).slice(0, 2).join(' '))
  note('namespaces of the host', readdirSync(`/proc/${pid}/ns`).filter((n) => !/_for_children$/.test(n) && link(`/proc/${pid}/ns/${n}`) === link(`/proc/self/ns/${n}`)).join(' '))
  // The warden's are its directories and one for each sandbox: tests/e2e/t71 counts those.
  const kinds = readdirSync(`/proc/${pid}/fd`).map((fd) => kindOf(link(`/proc/${pid}/fd/${fd}`)))
  const counted = who === 'root' || who === 'user'
  if (who !== 'warden') note('descriptors', [...new Set(kinds)].sort().map((k) => (counted ? `${k} x${kinds.filter((o) => o === k).length}` : k)).join(', '))
}

// What a program has from its agent is told once, as the agent's: of the program, what differs.
function sumUp(who, what, lines) {
  const differ = []
  for (const name of Object.keys(seen).filter((n) => n.startsWith(`${who}: `) && lines.test(n))) {
    if (seen[name] !== seen[name.replace(who, 'agent')]) differ.push(`${name.slice(who.length + 2)} ${seen[name]}`)
    delete seen[name]
  }
  seen[`${who}: ${what} other than the agent's`] = differ.join('; ')
}

function lookAtMounts(pid) {
  const counts = {}
  for (const line of readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n')) {
    const [, , , root, at, flags, ...rest] = line.split(' ')
    const [type, , options] = rest.slice(rest.indexOf('-') + 1)
    const shown = type === 'tmpfs' || type === 'devpts' ? options.split(',').filter((o) => !/^(rw|ro|inode64|[ug]id=\d+)$/.test(o)) : []
    const name = `mount on ${at}`
    counts[name] = (counts[name] ?? 0) + 1
    seen[counts[name] > 1 ? `${name} (${counts[name]})` : name] = [type, root === '/' ? [] : root, flags.replace(/,?relatime/, ''), shown].flat().join(' ')
  }
}

const python = (program) => `python3 -c '${program}'`
async function lookFromInside(user) {
  const r = await sandbox.commands.run(python(`
import ctypes
c = ctypes.CDLL(None)
print(c.prctl(27, 0, 0, 0, 0), c.prctl(3, 0, 0, 0, 0), oct(c.personality(0xffffffff)))`), { user })
  ;[seen[`${user}: securebits`], seen[`${user}: dumpable`], seen[`${user}: personality`]] = r.stdout.trim().split(' ')
  const read = await sandbox.commands.run(python(`
import errno, os
def can(f):
    try: f(); return "yes"
    except OSError as e: return errno.errorcode[e.errno]
print(can(lambda: open("/proc/1/mem")), can(lambda: open("/proc/1/environ")), can(lambda: os.readlink("/proc/1/fd/0")), can(lambda: os.stat("/proc/1/root/")))`), { user })
  seen[`${user}: memory, environment, descriptors and root of the agent`] = read.stdout.trim()
  seen[`${user}: groups as it sees them`] = [...new Set((await sandbox.commands.run('cut -d: -f3- /proc/self/cgroup', { user })).stdout.trim().split('\n'))].join(' ')
}

// Whom the kernel names at the other end, and whether that one answers.
function ask(path) {
  const r = spawnSync('python3', ['-c', `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
pid, uid, gid = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
s.settimeout(5)
try: answer = "closed" if s.recv(1) == b"" else "answered"
except TimeoutError: answer = "waits"
except ConnectionError: answer = "closed"
print(pid, uid & 0xffffffff, gid & 0xffffffff, answer)`, path], { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
  return r.stdout.trim().split(' ')
}
const modeAndOwner = (path) => `${(statSync(path).mode & 0o777).toString(8)} ${statSync(path).uid}`

const daemon = (name) => pids().find((p) => exe(p).endsWith(`/${name}`) && commandLine(p).includes(run))
before(async () => {
  ;[sandbox, neighbour] = await Promise.all([1, 2].map(() => Sandbox.create({ timeoutMs: 120_000 })))
  first = firstUid(sandbox.sandboxId)
  const started = async (user, mark) => {
    const command = await sandbox.commands.run(`exec sleep ${mark}`, { user, background: true, timeoutMs: 0 })
    command.wait().catch(() => {})
    return until('the workload', 5000, () => sandboxPids(sandbox.sandboxId).find((p) => commandLine(p).join(' ') === `sleep ${mark}`))
  }
  const [agent, monitor] = [sandboxPids(sandbox.sandboxId).find((p) => status(p)?.Name === 'envd'), monitorPid(sandbox.sandboxId)]
  lookAt('root', await started('root', 3001))
  lookAt('user', await started('user', 3002))
  lookAt('agent', agent)
  lookAt('monitor', monitor)
  lookAt('API', daemon('e2b-sandbox'))
  lookAt('warden', daemon('warden'))
  for (const who of ['root', 'user']) sumUp(who, 'limits', /: limit of /)
  sumUp('root', 'capabilities', / capabilities$/)
  sumUp('user', 'capabilities to gain', /(inheritable|bounding|ambient) capabilities$/)
  lookAtMounts(agent)
  for (const user of ['root', 'user']) await lookFromInside(user)
  seen['files in /sys'] = (await sandbox.commands.run('find /sys -type f | sort | tr "\\n" " "')).stdout.trim()
  seen['nodes in /dev'] = (await sandbox.commands.run('ls /dev | tr "\\n" " "')).stdout.trim()
  seen['user namespaces that can be made below'] = (await sandbox.commands.run('cat /proc/sys/user/max_user_namespaces')).stdout.trim()

  const [pid, uid, gid, answer] = ask(join(run, 'warden.sock'))
  seen['warden socket: mode and owner'] = modeAndOwner(join(run, 'warden.sock'))
  seen['warden socket: who listens'] = `${Number(pid) === daemon('warden') ? 'warden' : pid} ${uid} ${gid}`
  seen['warden socket: to root of the host, which is not the API'] = answer
  const socket = join(run, 'sb', `${(first - Number(process.env.FIREBREAK_T_UIDBASE)) / 65536}.sock`)
  const [itsPid, itsUid, itsGid] = ask(socket)
  seen['monitor socket: mode and owner'] = modeAndOwner(socket)
  seen['monitor socket: who listens'] = `${Number(itsPid) === monitor ? 'monitor' : itsPid} ${relative([Number(itsUid)])} ${relative([Number(itsGid)])}`
})
after(() => Promise.all([sandbox?.kill(), neighbour?.kill()]))

claim('the control: this process, looked at in the same way, has another posture', () => {
  lookAt('control', process.pid)
  assert.equal(seen['control: user ids'], '0')
  assert.match(seen['control: effective capabilities'], /sys_admin/)
  assert.equal(seen['control: no_new_privs'], '0')
  assert.equal(seen['control: seccomp mode'], '0')
  assert.match(seen['control: namespaces of the host'], /\bmnt net\b.*\buser\b/)
  for (const name of Object.keys(seen).filter((n) => n.startsWith('control: '))) delete seen[name]
})

// --- what must be there ---

const sets = (bounding, effective) => ({
  'inheritable capabilities': '', 'permitted capabilities': effective, 'effective capabilities': effective, 'bounding capabilities': bounding, 'ambient capabilities': '',
})
const limits = (changed) => ({
  ...Object.fromEntries(Object.keys(own).map((name) => [`limit of ${name.toLowerCase().replace(/^max /, '')}`, same(name)])),
  'limit of core file size': '1 1', ...changed,
})
const ofSandbox = limits({
  'limit of open files': both('Max open files', 65536), 'limit of processes': both('Max processes', 1024), 'limit of locked memory': both('Max locked memory', 64 << 20),
  'limit of msgqueue size': both('Max msgqueue size', 819200), 'limit of pending signals': both('Max pending signals', 4096),
})
const filtered = { no_new_privs: '1', 'seccomp mode': '2', umask: '0022', 'traced by': '0' }
const workload = {
  ...filtered, "limits other than the agent's": '', 'seccomp filters': '2', oom_score_adj: '500', 'ignored signals': '0000000000000000', 'namespaces of the host': '', descriptors: '/dev/null x1, pipe x2',
  securebits: '0', dumpable: '1', personality: '0o0', 'memory, environment, descriptors and root of the agent': 'EACCES EACCES EACCES EACCES', 'groups as it sees them': '/',
}
const host = { oom_score_adj: readFileSync('/proc/self/oom_score_adj', 'utf8').trim() }
const raised = { 'limit of open files': `${own['Max open files'][1]} ${own['Max open files'][1]}` } // the warden's, and of what it starts
const bounding = capabilities(status('self').CapBnd)
// The API wants 65536, which only root with CAP_SYS_RESOURCE can raise a hard limit to (src/e2b-sandbox/setup.c).
const hard = Number(own['Max open files'][1])
const apiFiles = hard >= 65536 ? `${Math.max(65536, Number(own['Max open files'][0]))} ${hard}` : bounding.split(' ').includes('sys_resource') ? '65536 65536' : `${hard} ${hard}`
const overlayByWarden = /overlay_by=warden/.test(readFileSync(process.env.FIREBREAK_T_LOG, 'utf8'))
const ofWarden = CAPABILITIES.filter((c) => ['chown', 'dac_override', 'kill', 'setgid', 'setuid', 'sys_chroot', 'sys_ptrace', 'sys_admin'].includes(c) ||
  (overlayByWarden && ['fowner', 'fsetid'].includes(c)) || (c === 'sys_resource' && bounding.split(' ').includes(c))).join(' ')

const processes = {
  root: { 'user ids': '+0', 'group ids': '+0', 'supplementary groups': '+0', "capabilities other than the agent's": '', ...workload },
  user: {
    'user ids': '+1000', 'group ids': '+1000', 'supplementary groups': '+27 +1000', 'permitted capabilities': '', 'effective capabilities': '', "capabilities to gain other than the agent's": '', ...workload,
  },
  agent: {
    'user ids': '+0', 'group ids': '+0', 'supplementary groups': '', ...sets(inside, inside), ...filtered, ...ofSandbox, 'seccomp filters': '2', oom_score_adj: '250', 'namespaces of the host': '',
    descriptors: '/dev/null, anon_inode:[eventfd], anon_inode:[eventpoll], anon_inode:[signalfd], pipe, socket',
  },
  monitor: {
    'user ids': '+65535', 'group ids': '+65535', 'supplementary groups': '', ...sets('', ''), ...filtered, ...host, 'seccomp filters': '2', ...limits({ 'limit of open files': '64 64' }),
    'namespaces of the host': 'cgroup time',
    descriptors: '/dev/null, anon_inode:[eventpoll], anon_inode:[pidfd], anon_inode:[timerfd], anon_inode:seccomp notify, its control files, log, socket, the upper layer',
  },
  API: {
    'user ids': '65532', 'group ids': '65532', 'supplementary groups': '', ...sets('', ''), ...filtered, ...host, 'seccomp filters': '1', ...limits({ 'limit of open files': apiFiles }),
    'namespaces of the host': 'cgroup ipc mnt net pid time user uts',
    descriptors: '/dev/null, anon_inode:[eventfd], anon_inode:[eventpoll], anon_inode:[signalfd], database, log, socket, templates',
  },
  warden: {
    'user ids': '0', 'group ids': '0', 'supplementary groups': '', ...sets(ofWarden, ofWarden), ...filtered, ...host, 'seccomp filters': '1', ...limits(raised),
    'namespaces of the host': 'cgroup ipc net pid time user uts',
  },
}

const device = (name) => `devtmpfs /${name} rw`
const masked = 'tmpfs ro,nosuid,nodev,noexec size=0k nr_inodes=2 mode=555'
const mounts = {
  '/': 'overlay rw,nosuid,nodev',
  '/usr/bin/sudo': 'tmpfs /envd ro,nosuid,nodev size=32768k nr_inodes=256 mode=700',
  '/dev': 'tmpfs ro,nosuid,noexec size=64k nr_inodes=64 mode=755',
  ...Object.fromEntries(['null', 'zero', 'full', 'random', 'urandom', 'tty'].map((n) => [`/dev/${n}`, device(n)])),
  '/dev/pts': 'devpts rw,nosuid,noexec mode=620 ptmxmode=666 max=256',
  '/dev/shm': 'tmpfs rw,nosuid,nodev,noexec size=262144k nr_inodes=16384',
  '/run': 'tmpfs rw,nosuid,nodev size=65536k nr_inodes=8192 mode=755',
  '/sys': 'tmpfs ro,nosuid,nodev,noexec size=64k nr_inodes=64 mode=755',
  '/proc': 'proc rw,nosuid,nodev,noexec',
  ...Object.fromEntries(['sys', 'irq', 'bus', 'fs', 'mtrr'].map((n) => [`/proc/${n}`, `proc /${n} ro,nosuid,nodev,noexec`])),
  ...Object.fromEntries(['acpi', 'scsi', 'asound', 'driver', 'dynamic_debug', 'pressure', 'tty'].map((n) => [`/proc/${n}`, masked])),
  ...Object.fromEntries(('kcore cmdline keys key-users timer_list sched_debug kmsg kallsyms sysrq-trigger kpagecount latency_stats kpageflags kpagecgroup vmallocinfo slabinfo ' +
    'modules iomem ioports config.gz interrupts schedstat').split(' ').map((n) => [`/proc/${n}`, device('null')])),
}
const others = {
  'files in /sys': '/sys/devices/system/cpu/online /sys/devices/system/cpu/possible /sys/devices/system/cpu/present',
  'nodes in /dev': 'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero',
  'user namespaces that can be made below': '0',
  'warden socket: mode and owner': '600 65532',
  'warden socket: who listens': 'warden 0 0',
  'warden socket: to root of the host, which is not the API': 'closed',
  'monitor socket: mode and owner': '600 0',
  'monitor socket: who listens': 'monitor +65535 +65535',
}

const expected = {
  ...Object.fromEntries(Object.entries(processes).flatMap(([who, lines]) => Object.entries(lines).map(([what, value]) => [`${who}: ${what}`, value]))),
  // A kernel that lacks a file of /proc needs no mount over it.
  ...Object.fromEntries(Object.entries(mounts).filter(([at]) => !/^\/proc\/./.test(at) || existsSync(at)).map(([at, value]) => [`mount on ${at}`, value])),
  ...others,
}
for (const [name, value] of Object.entries(expected)) claim(name, () => assert.equal(seen[name], value))

claim('nothing is there that no line names, and the two sandboxes work', async () => {
  assert.deepEqual(Object.keys(seen).filter((name) => !(name in expected)), [])
  for (const s of [sandbox, neighbour]) assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
