// SPDX-License-Identifier: Apache-2.0
// Each violation is planted on a live instance, and check-invariants names that one and no other; taken away, all is well again.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { before, after } from 'node:test'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { cgroupDirs, commandLine, firstUid, isAlive, monitorPid, sandboxPids, status, UIDS_PER_SANDBOX, until } from '../lib/host.mjs'

let i, one, two
before(async () => {
  i = await Instance.start()
  ;[one, two] = await Promise.all([1, 2].map(() => Sandbox.create({ ...i.sdk, timeoutMs: 600_000 })))
  i.ids.add(one.sandboxId).add(two.sandboxId)
})
after(() => i?.end())

const started = []
after(() => started.forEach((c) => c.kill('SIGKILL')))

// The ids of what does not hold, and the evidence.
function check(...args) {
  const r = i.cli(['check-invariants', '--json', ...args])
  assert.ok(r.code === 0 || r.code === 1, `status ${r.code}: ${r.stderr}`)
  const report = JSON.parse(r.stdout)
  const broken = report.invariants.filter((x) => !x.holds)
  assert.equal(report.ok, broken.length === 0)
  assert.equal(r.code, report.ok ? 0 : 1)
  return { ids: broken.map((x) => x.id), evidence: broken.flatMap((x) => x.evidence), report }
}
async function sees(id, what, ...args) {
  const r = check(...args)
  assert.deepEqual(r.ids, [id], r.evidence.join('; '))
  assert.match(r.evidence.join('\n'), what)
}
const isWhole = (...args) => until('all invariants to hold again', 10000, () => check(...args).ids.length === 0)

// A program of the host with these words in front of it; its pid once it runs `sleep`.
async function run(words, name = 'sleep') {
  const c = spawn(words[0], [...words.slice(1), 'sleep', '600'], { stdio: 'ignore' })
  started.push(c)
  const find = () => [c.pid, ...readdirSync('/proc').filter((n) => /^\d+$/.test(n)).map(Number).filter((p) => status(p)?.PPid === String(c.pid))]
    .find((p) => status(p)?.Name === name && commandLine(p)[0] === 'sleep')
  return { pid: await until('the planted process to run', 5000, find), end: () => c.kill('SIGKILL') }
}
async function endOf(p) {
  process.kill(p.pid, 'SIGKILL')
  p.end()
  await until('the planted process to end', 5000, () => !isAlive(p.pid))
}
const as = (uid) => ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
const joinGroups = (pid, id) => {
  for (const dir of cgroupDirs(id).filter((d) => d.endsWith(id) || d.endsWith('/box')))
    if (!(existsSync(join(dir, 'box')) && dir.endsWith(id))) writeFileSync(join(dir, 'cgroup.procs'), String(pid))
}
const init = (s) => sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
const record = (s) => join(i.run, 'sb', `${(firstUid(s.sandboxId) - i.uidBase) / UIDS_PER_SANDBOX}.rec`)
const sql = (text) => {
  const r = spawnSync('python3', ['-c', 'import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()', join(i.state, 'db/firebreak.db'), text], { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
}

claim('a live instance with two sandboxes is whole, and the report says what it looked at', () => {
  const { ids, report } = check()
  assert.deepEqual(ids, [])
  assert.equal(report.instance, i.name)
  assert.equal(report.sandboxes, 2)
  assert.equal(report.wardenPid, i.daemon('warden'))
  assert.equal(report.apiPid, i.daemon('e2b-sandbox'))
  assert.ok(report.processes >= 6)
  for (const x of report.invariants) assert.match(x.id, /^[a-z_]+$/)
})

claim('a check changes nothing: files of the registry keep their owner, and the service goes on', async () => {
  const owner = (f) => statSync(join(i.state, 'db', f)).uid
  for (const f of readdirSync(join(i.state, 'db'))) assert.equal(owner(f), 65532, f)
  assert.equal((await one.commands.run('echo on')).stdout, 'on\n')
})

claim('process_in_place: a process with a sandbox uid outside its groups', async () => {
  const p = await run(['unshare', '-n', '-p', '-f', '--', ...as(firstUid(one.sandboxId) + 1000)])
  await sees('process_in_place', new RegExp(`process ${p.pid} `))
  await endOf(p)
  await isWhole()
})

claim('process_in_place: a process that left the group of one hierarchy only', async () => {
  const p = await run(['unshare', '-n', '-p', '-f', '--', ...as(firstUid(one.sandboxId) + 1000)])
  joinGroups(p.pid, one.sandboxId)
  const away = cgroupDirs(one.sandboxId).find((d) => /\/(memory|box)/.test(d))
  const root = away.slice(0, away.indexOf('/e2b-sandbox'))
  // Its network is not the sandbox's either, but no other sandbox's.
  assert.deepEqual(check().ids, [])
  writeFileSync(join(root, 'cgroup.procs'), String(p.pid))
  await sees('process_in_place', /is outside of it in/)
  await endOf(p)
  await isWhole()
})

claim('process_in_pid_namespace: a process in the sandbox that sees the host', async () => {
  const p = await run(['unshare', '-n', '--', ...as(firstUid(one.sandboxId) + 1000)])
  joinGroups(p.pid, one.sandboxId)
  await sees('process_in_pid_namespace', new RegExp(`process ${p.pid} `))
  await endOf(p)
  await isWhole()
})

claim('process_in_own_network: a process in the sandbox with the network of the host', async () => {
  const p = await run(['unshare', '-p', '-f', '--', ...as(firstUid(one.sandboxId) + 1000)])
  joinGroups(p.pid, one.sandboxId)
  await sees('process_in_own_network', new RegExp(`process ${p.pid} `))
  await endOf(p)
  await isWhole()
})

claim('network_of_one: a process in one sandbox with the network of another', async () => {
  const p = await run(['nsenter', `--net=/proc/${init(two)}/ns/net`, 'unshare', '-p', '-f', '--', ...as(firstUid(one.sandboxId) + 1000)])
  joinGroups(p.pid, one.sandboxId)
  await sees('network_of_one', /is in the network of/)
  await endOf(p)
  await isWhole()
})

claim("uids_of_one: a process in one sandbox's groups with the uid of another", async () => {
  const p = await run(['unshare', '-n', '-p', '-f', '--', ...as(firstUid(two.sandboxId) + 1000)])
  joinGroups(p.pid, one.sandboxId)
  await sees('uids_of_one', new RegExp(`has uid ${firstUid(two.sandboxId) + 1000}, which is not of its range`))
  await endOf(p)
  await isWhole()
})

claim('group_has_record: a cgroup of a sandbox that is no more, in any hierarchy', async () => {
  const parents = [...new Set(cgroupDirs(one.sandboxId).map((d) => d.slice(0, d.indexOf(`/${one.sandboxId}`))))]
  for (const parent of parents) {
    mkdirSync(join(parent, 'ideadideadideadidead'))
    await sees('group_has_record', /ideadideadideadidead/)
    rmdirSync(join(parent, 'ideadideadideadidead'))
  }
  await isWhole()
})

claim('record_has_groups, record_readable, record_unique: what a record can have wrong', async () => {
  const bytes = readFileSync(record(one))
  const at = (slot) => join(i.run, 'sb', `${slot}.rec`)
  const plant = (slot, change) => {
    const copy = Buffer.from(bytes)
    copy.writeUInt32LE(slot, 4)
    change(copy)
    writeFileSync(at(slot), copy)
  }
  plant(60, (b) => b.write('ighostghostghostghos', 8))
  await sees('record_has_groups', /ighostghostghostghos \(slot 60\)/)
  rmSync(at(60))
  plant(61, (b) => b.writeUInt32LE(5, 4))
  await sees('record_readable', /61\.rec/)
  rmSync(at(61))
  plant(62, () => {})
  await sees('record_unique', new RegExp(`${one.sandboxId} has slots`))
  rmSync(at(62))
  await isWhole()
})

claim('record_has_monitor: the groups are there, and nobody supervises', async () => {
  const bytes = Buffer.from(readFileSync(record(one)))
  const id = 'ighostghostghostghos'
  const parent = cgroupDirs(one.sandboxId)[0].slice(0, cgroupDirs(one.sandboxId)[0].indexOf(`/${one.sandboxId}`))
  bytes.writeUInt32LE(60, 4)
  bytes.write(id, 8)
  sql(`INSERT INTO sandboxes (id, template, state, started_ns, end_ns, cpu_count, memory_mb, disk_mb, internet, metadata) VALUES ('${id}', 'base', 'running', 1, 1, 1, 1, 1, 0, '{}')`)
  mkdirSync(join(parent, id))
  writeFileSync(join(i.run, 'sb/60.rec'), bytes)
  await sees('record_has_monitor', /ighostghostghostghos \(slot 60\) has 0 monitors/)
  rmSync(join(i.run, 'sb/60.rec'))
  rmdirSync(join(parent, id))
  sql(`DELETE FROM sandboxes WHERE id = '${id}'`)
  await isWhole()
})

claim('monitor_has_record: a record that got lost is seen from every side', async () => {
  const [from, aside] = [record(two), join(i.dir, 'aside')]
  renameSync(from, aside)
  const { ids } = check()
  // Everything else of it is without an owner, too.
  assert.deepEqual(ids.sort(), ['file_has_owner', 'group_has_record', 'monitor_has_record', 'process_in_place', 'row_has_record'])
  copyFileSync(aside, from)
  await isWhole()
})

claim('row_has_record and record_has_row: registry and warden disagree', async () => {
  sql("INSERT INTO sandboxes (id, template, state, started_ns, end_ns, cpu_count, memory_mb, disk_mb, internet, metadata) VALUES ('ighostghostghostghos', 'base', 'running', 1, 1, 1, 1, 1, 0, '{}')")
  await sees('row_has_record', /ighostghostghostghos/)
  sql("DELETE FROM sandboxes WHERE id = 'ighostghostghostghos'")
  sql(`UPDATE sandboxes SET state = 'ended' WHERE id = '${two.sandboxId}'`)
  await sees('record_has_row', new RegExp(two.sandboxId))
  sql(`UPDATE sandboxes SET state = 'running' WHERE id = '${two.sandboxId}'`)
  await isWhole()
})

claim('file_has_owner: a socket of a dead sandbox, and a file that nobody knows', async () => {
  for (const f of ['sb/63.sock', 'core']) {
    writeFileSync(join(i.run, f), '')
    await sees('file_has_owner', new RegExp(f))
    rmSync(join(i.run, f))
  }
  await isWhole()
})

claim('no_mount_on_host: a mount of the instance that the host sees', async () => {
  const at = join(i.run, 'mnt')
  assert.equal(spawnSync('mount', ['--bind', at, at]).status, 0)
  await sees('no_mount_on_host', /\/mnt$/m)
  assert.equal(spawnSync('umount', [at]).status, 0)
  await isWhole()
})

claim('zombie_reaped: a warden that stands still leaves its dead', async () => {
  const s = await Sandbox.create({ ...i.sdk, timeoutMs: 600_000 })
  const [warden, monitor] = [i.daemon('warden'), monitorPid(s.sandboxId)]
  process.kill(warden, 'SIGSTOP')
  try {
    for (const pid of sandboxPids(s.sandboxId).reverse()) process.kill(pid, 'SIGKILL')
    await until('everything in it to die', 5000, () => sandboxPids(s.sandboxId).every((p) => !isAlive(p)))
    const r = check()
    assert.deepEqual(r.ids, ['zombie_reaped'], r.evidence.join('; '))
    assert.ok(r.evidence.some((x) => x.includes(`process ${monitor} (jailmon) waits`)), r.evidence.join('; '))
  } finally {
    process.kill(warden, 'SIGCONT')
  }
  await isWhole()
})

// A program of root's that has the name and the arguments of a daemon.
async function impostor(name) {
  const dir = join(i.dir, 'impostor')
  mkdirSync(dir, { recursive: true })
  copyFileSync(readlinkSync('/proc/self/exe'), join(dir, name))
  const c = spawn(join(dir, name), ['-e', 'setTimeout(() => {}, 600000)', '--', '--run', i.run], { stdio: 'ignore' })
  started.push(c)
  await until('it to run', 5000, () => commandLine(c.pid).includes('--run'))
  return { pid: c.pid, end: () => c.kill('SIGKILL') }
}

claim('daemon_posture: an API that runs as root without a filter', async () => {
  const p = await impostor('e2b-sandbox')
  await sees('daemon_posture', new RegExp(`process ${p.pid} \\(e2b-sandbox\\).* has not set no_new_privs`))
  await endOf(p)
  await isWhole()
})

claim('daemon_single: two wardens', async () => {
  const p = await impostor('warden')
  const { ids, evidence } = check()
  assert.ok(ids.includes('daemon_single'), ids.join())
  assert.match(evidence.join('\n'), new RegExp(`\\b${p.pid}\\b`))
  await endOf(p)
  await isWhole()
})

claim('a violation that is over at the second look is none', async () => {
  const c = spawn(process.execPath, ['-e', `const fs = require('fs'), f = ${JSON.stringify(join(i.run, 'core'))}; fs.writeFileSync(f, ''); setTimeout(() => fs.rmSync(f), 1000)`])
  await until('the file', 5000, () => existsSync(join(i.run, 'core')))
  const { ids, report } = check('--settle-ms', '5000')
  assert.deepEqual(ids, [])
  assert.ok(report.looks >= 2, `${report.looks} looks`)
  await new Promise((done) => c.once('exit', done))
})

claim('bad options are refused with the usage, and only root may look', () => {
  assert.equal(i.cli(['check-invariants', '--settle-ms', 'soon']).code, 2)
  assert.equal(i.cli(['check-invariants', 'everything']).code, 2)
  assert.match(i.cli(['check-invariants', '--help']).stdout, /--stopped/)
  assert.match(i.cli(['check-invariants']).stdout, /^PASS {2}process_in_place .*\n[^]*\n\ninstance \S+: 2 sandboxes, \d+ processes, \d+ looks, 0 violations\n$/)
})

const stopped = ['--stopped']
claim('of a stopped instance everything must be gone: processes, records, groups, files, loop devices', async () => {
  stopped.push('--uid-base', String(i.uidBase))
  assert.equal(check(...stopped).ids.includes('stopped_without_process'), true)
  await i.stop()
  await isWhole(...stopped)
  mkdirSync(join(i.run, 'sb'), { recursive: true })
  writeFileSync(join(i.run, 'sb/3.rec'), 'x')
  assert.deepEqual(check(...stopped).ids, ['record_readable', 'stopped_without_record'])
  rmSync(join(i.run, 'sb/3.rec'))
  writeFileSync(join(i.run, 'warden.sock'), '')
  await sees('file_has_owner', /warden\.sock/, ...stopped)
  rmSync(join(i.run, 'warden.sock'))
  const image = join(i.dir, 'state/templates', readdirSync(join(i.state, 'templates')).find((f) => f.endsWith('.erofs')))
  const loop = spawnSync('losetup', ['--find', '--show', '--read-only', image], { encoding: 'utf8' }).stdout.trim()
  if (loop) {
    await sees('loop_in_use', /\.erofs/, ...stopped)
    assert.equal(spawnSync('losetup', ['-d', loop]).status, 0)
  }
  rmSync(join(i.run, 'sb'), { recursive: true })
  await isWhole(...stopped)
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
