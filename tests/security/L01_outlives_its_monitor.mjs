// SPDX-License-Identifier: Apache-2.0
// Attack: outlive the monitor, which holds the deadline, at a moment when no warden runs that would see it end.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, before } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs, freezer, isAlive, monitorPid, sandboxPids, status, until } from '../lib/host.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

// A process that has given up its ids, like a monitor, above one that is init of a pid namespace and has asked to die with it. With
// `within` it is itself the init of a pid namespace.
const family = `
sub unshare_pid { syscall(272, 0x20000000) == 0 or die "unshare: $!" }
sub host_pid { readlink "/proc/self" }
$| = 1;
if ($ARGV[0] eq "within") {
  unshare_pid();
  my $outer = fork;
  if ($outer) { waitpid($outer, 0); exit }
}
unshare_pid();
my $child = fork;
if (!$child) {
  syscall(157, 1, 9, 0, 0, 0) == 0 or die "prctl: $!";
  print "init ", host_pid(), "\\n";
  sleep 300;
  exit;
}
use POSIX ();
sleep 1;
POSIX::setuid(65534);
print "monitor ", host_pid(), "\\n";
sleep 300;
`
async function lives(how) {
  const child = spawn('perl', ['-e', family, how], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (d) => (out += d))
  const pid = (word) => Number(new RegExp(`^${word} (\\d+)$`, 'm').exec(out)?.[1])
  await until('the two to stand', 5000, () => pid('init') && pid('monitor'))
  const [init, monitor] = [pid('init'), pid('monitor')]
  try {
    process.kill(monitor, 'SIGKILL')
    await until('its monitor to be gone', 5000, () => !isAlive(monitor))
    await sleep(200)
    return isAlive(init)
  } finally {
    if (isAlive(init)) process.kill(init, 'SIGKILL')
  }
}

// Nobody starts another one while \`up\` is stopped.
async function withoutWarden(attack) {
  const warden = i.daemon('warden')
  process.kill(i.child.pid, 'SIGSTOP')
  try {
    process.kill(warden, 'SIGKILL')
    await until('the warden to be gone', 5000, () => !isAlive(warden))
    await attack()
  } finally {
    process.kill(i.child.pid, 'SIGCONT')
  }
  await until('a new warden', 20000, () => i.daemon('warden') !== undefined)
}

const create = () => Sandbox.create({ ...i.sdk, timeoutMs: 120_000 })
const works = async (s) => assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
const namespacePids = (pid) => status(pid).NSpid.split(/\s+/).map(Number)
const listed = async () => (await Sandbox.list(i.sdk).nextItems()).map((s) => s.sandboxId)

claim('the control: what asked to die with a parent that gave up its ids outlives it, but not an init', async () => {
  assert.equal(await lives('beside'), true)
  assert.equal(await lives('within'), false)
})

claim('a sandbox whose monitor is killed while no warden runs is gone at once, by the kernel', async () => {
  const [s, neighbour] = [await create(), await create()]
  await s.commands.run('for i in 1 2 3; do setsid sh -c "trap : HUP INT TERM; kill -STOP \\$\\$; sleep 300" >/dev/null 2>&1 & done', { user: 'root' })
  await s.commands.run('exec sleep 300', { background: true, timeoutMs: 0 })
  const [monitor, all] = [monitorPid(s.sandboxId), sandboxPids(s.sandboxId)]
  assert.ok(all.length >= 6, `only ${all.length} processes: the attack did not take place`)
  const inside = all.filter((p) => p !== monitor)
  assert.equal(namespacePids(monitor).at(-1), 1, 'the monitor is not an init')
  for (const pid of inside) assert.equal(namespacePids(pid).length, namespacePids(monitor).length + 1, `${pid} is not below the monitor`)
  await withoutWarden(async () => {
    assert.ok(all.every(isAlive), 'it did not survive the warden, so this shows nothing')
    process.kill(monitor, 'SIGKILL')
    await until('every process of it to be gone', 3000, () => !all.some(isAlive))
    assert.ok(cgroupDirs(s.sandboxId).length > 0, 'somebody else cleaned up: it is not shown who ended it')
    assert.equal(i.daemon('warden'), undefined, 'a warden was there')
    await works(neighbour)
  })
  await until('its groups to be removed', 10_000, () => cgroupDirs(s.sandboxId).length === 0)
  await until('only the neighbour to be listed', 10_000, () => listed().then((l) => l.length === 1 && l[0] === neighbour.sandboxId, () => false))
  await works(neighbour)
  await neighbour.kill()
})

claim('one that is frozen just then dies with its monitor as well: by the kernel, or on cgroup v1 by the warden that thaws it', async () => {
  const neighbour = await create()
  const freeze = async () => {
    const s = await until('a create', 20000, () => create().catch(() => null)) // the API has to find a new warden first
    const [f, monitor, all] = [freezer(s.sandboxId), monitorPid(s.sandboxId), sandboxPids(s.sandboxId)]
    f.freeze()
    await until('it to be frozen', 5000, f.isFrozen)
    return { f, monitor, all, id: s.sandboxId }
  }
  const gone = (s) => until('every process of it to be gone', 5000, () => !s.all.some(isAlive))

  const seen = await freeze()
  process.kill(seen.monitor, 'SIGKILL')
  await gone(seen)

  const unseen = await freeze()
  await withoutWarden(async () => {
    process.kill(unseen.monitor, 'SIGKILL')
    if (unseen.f.version === 2) await gone(unseen)
    else await until('its monitor to have no descriptor left', 3000, () => !cgroupDirs(unseen.id).length || status(unseen.monitor)?.FDSize === '0')
    await works(neighbour)
  })
  await gone(unseen)

  // A warden that adopted it knows it by a connection only.
  const adopted = await freeze()
  await withoutWarden(async () => {})
  await until('it to be adopted', 20000, () => new RegExp(`event=sandbox_adopted sandbox=${adopted.id}`).test(i.logText()))
  process.kill(adopted.monitor, 'SIGKILL')
  await gone(adopted)
  await until('its end to be told', 5000, () => new RegExp(`event=sandbox_ended sandbox=${adopted.id} cause=monitor_lost`).test(i.logText()))

  await works(neighbour)
  await neighbour.kill()
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
