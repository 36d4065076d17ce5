// SPDX-License-Identifier: Apache-2.0
// Daemons die by SIGKILL while sandboxes run; nothing that a user has is lost.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { before, after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, e2b, Sandbox, http, into } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { cgroupDirs, firstUid, isAlive, monitorPid, sandboxPids, until, UIDS_PER_SANDBOX } from '../lib/host.mjs'

let i, opts
before(async () => {
  i = await Instance.start()
  opts = i.sdk
})
after(() => i?.end())

const newDaemon = (name, old) => until(`a new ${name}`, 20000, () => {
  const pid = i.daemon(name)
  return pid !== undefined && pid !== old ? pid : 0
})
async function create() {
  const s = await Sandbox.create({ ...opts, timeoutMs: 300_000, metadata: { kept: 'yes' } })
  i.ids.add(s.sandboxId)
  return s
}

claim('kill -9 of e2b-sandbox: the sandbox is listed again, its loop runs on, and its output can be read', async () => {
  const s = await create()
  const loop = await s.commands.run('n=0; while true; do echo tick $n; n=$((n+1)); echo $n > /tmp/n; sleep 0.05; done', { background: true, timeoutMs: 0 })
  loop.wait().catch(() => {})
  await until('ticks', 10000, () => /tick 3/.test(loop.stdout))
  const info = await s.getInfo()
  const old = i.daemon('e2b-sandbox')
  process.kill(old, 'SIGKILL')
  await newDaemon('e2b-sandbox', old)
  await until('it to serve again', 20000, () => i.isServing())
  const listed = (await Sandbox.list(opts).nextItems()).find((x) => x.sandboxId === s.sandboxId)
  assert.ok(listed, 'not listed')
  assert.deepEqual(listed.metadata, { kept: 'yes' })
  assert.equal(+listed.startedAt, +info.startedAt)
  assert.equal(+listed.endAt, +info.endAt)
  const again = await Sandbox.connect(s.sandboxId, opts)
  assert.equal(again.envdAccessToken, s.envdAccessToken)
  const n = Number(await again.files.read('/tmp/n'))
  let seen = ''
  const h = await again.commands.connect(loop.pid, { onStdout: (d) => (seen += d) })
  await until('later ticks', 10000, () => Number(/tick (\d+)\n/.exec(seen)?.[1] ?? -1) >= n)
  await h.kill()
  assert.equal(await again.kill(), true)
  await until('it to be gone', 5000, () => sandboxPids(s.sandboxId).length === 0)
})

claim('kill -9 of warden: sandboxes run on, are adopted again, and can be killed', async () => {
  const s = await create()
  const old = i.daemon('warden')
  process.kill(old, 'SIGKILL')
  assert.equal((await s.commands.run('echo no warden needed')).stdout, 'no warden needed\n')
  await newDaemon('warden', old)
  const second = await until('a create through the new warden', 20000, () => create().catch(() => null))
  assert.equal((await second.commands.run('echo new')).stdout, 'new\n')
  assert.equal((await s.commands.run('echo old')).stdout, 'old\n')
  const pids = sandboxPids(s.sandboxId)
  assert.equal(await s.kill(), true)
  await until('its processes and groups to be gone', 5000, () => !pids.some(isAlive) && cgroupDirs(s.sandboxId).length === 0)
  assert.equal(await second.kill(), true)
})

claim('kill -9 of both at once: the same', async () => {
  const s = await create()
  const [api, warden] = [i.daemon('e2b-sandbox'), i.daemon('warden')]
  process.kill(api, 'SIGKILL')
  process.kill(warden, 'SIGKILL')
  await newDaemon('e2b-sandbox', api)
  await newDaemon('warden', warden)
  await until('the sandbox to answer', 20000, () => s.commands.run('echo still').then((r) => r.stdout === 'still\n', () => false))
  assert.equal(await s.kill(), true)
  await until('its groups to be gone', 5000, () => cgroupDirs(s.sandboxId).length === 0)
})

claim('kill -9 of the monitor: everything in the sandbox dies with it, and it is reported', async () => {
  const [s, neighbour] = [await create(), await create()]
  await s.commands.run('for i in 1 2; do setsid sleep 300 >/dev/null 2>&1 & done', { user: 'root' })
  const pids = sandboxPids(s.sandboxId)
  const monitor = monitorPid(s.sandboxId)
  assert.ok(pids.length >= 4 && monitor, `found ${pids.length} processes`)
  process.kill(monitor, 'SIGKILL')
  await until('its processes to die', 3000, () => !pids.some(isAlive))
  await until('getInfo to be 404', 5000, () => s.getInfo().then(() => false, (e) => e instanceof e2b.SandboxNotFoundError))
  assert.equal((await http('GET', '/health', { url: i.url, headers: into(s, 49983) })).status, 502)
  assert.ok(!(await Sandbox.list(opts).nextItems()).some((x) => x.sandboxId === s.sandboxId))
  await until('its groups to be removed', 5000, () => cgroupDirs(s.sandboxId).length === 0)
  assert.equal((await neighbour.commands.run('echo fine')).stdout, 'fine\n')
  await neighbour.kill()
})

claim('a warden that adopted a sandbox still learns why it ended', async () => {
  const [lost, left] = [await create(), await create()]
  const old = i.daemon('warden')
  process.kill(old, 'SIGKILL')
  await newDaemon('warden', old)
  await until('the new warden to serve', 20000, () => create().then((s) => s.kill(), () => false))
  process.kill(monitorPid(lost.sandboxId), 'SIGKILL')
  await left.commands.run('kill -9 -1; kill -9 1', { user: 'root' }).catch(() => {})
  await left.kill().catch(() => {})
  const why = async (s) => (await http('GET', `/sandboxes/${s.sandboxId}`, { url: i.url, headers: { 'X-API-Key': i.key } })).json?.message ?? ''
  await until('the first to be reported', 5000, async () => /it ended at .*\(monitor_lost\)/.test(await why(lost)))
  await until('the second to be reported', 5000, async () => /it ended at .*\((killed|agent_exit)\)/.test(await why(left)))
  assert.match(i.logText(), new RegExp(`level=warn proc=warden event=sandbox_ended sandbox=${lost.sandboxId} cause=monitor_lost`))
})

claim('a sandbox that dies while nobody watches is 404 after the restart', async () => {
  const s = await create()
  const monitor = monitorPid(s.sandboxId)
  const [api, warden] = [i.daemon('e2b-sandbox'), i.daemon('warden')]
  process.kill(api, 'SIGKILL')
  process.kill(warden, 'SIGKILL')
  process.kill(monitor, 'SIGKILL')
  await newDaemon('warden', warden)
  await until('it to serve again', 20000, () => i.isServing())
  await until('getInfo to be 404', 10000, () => Sandbox.getInfo(s.sandboxId, opts).then(() => false, (e) => e instanceof e2b.SandboxNotFoundError))
  await until('its groups to be removed', 5000, () => cgroupDirs(s.sandboxId).length === 0)
})

claim('a client of another version of the protocol is refused by warden and monitor, which name both versions', async () => {
  const s = await create()
  const speak = (path, uid) => {
    const r = spawnSync('setpriv', [`--reuid=${uid}`, '--clear-groups', '/usr/bin/python3', '-c', `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
s.connect(sys.argv[1])
s.send(struct.pack("IIQi", 1, 77, 5, 0) + bytes(500))
print(*struct.unpack("IIQi", s.recv(4096)[:20])[1::2], len(s.recv(1)))`, path], { encoding: 'utf8' })
    assert.equal(r.status, 0, r.stderr)
    return r.stdout.trim()
  }
  assert.match(speak(`${i.run}/warden.sock`, 65532), /^\d+ -93 0$/, 'the warden does not say its own version, or does not hang up')
  assert.match(i.logText(), /proc=warden event=client_refused client=\d why=version theirs=77 ours=\d+/)
  const slot = (firstUid(s.sandboxId) - i.uidBase) / UIDS_PER_SANDBOX
  assert.match(speak(`${i.run}/sb/${slot}.sock`, 0), /^\d+ -93 0$/, 'the monitor does not say its own version, or does not hang up')
  assert.match(i.logText(), new RegExp(`proc=jailmon event=client_refused sandbox=${s.sandboxId} why=version theirs=77 ours=\\d+`))
  assert.equal((await s.commands.run('echo fine')).stdout, 'fine\n')
  await s.kill()
})

claim('SIGTERM of e2b-sandbox lets a running answer end, refuses new work, and loses nothing', async () => {
  const s = await create()
  const old = i.daemon('e2b-sandbox')
  const slow = s.commands.run('sleep 1; echo complete')
  await sleep(300)
  process.kill(old, 'SIGTERM')
  assert.equal((await slow).stdout, 'complete\n')
  await newDaemon('e2b-sandbox', old)
  await until('it to serve again', 20000, () => i.isServing())
  assert.equal((await s.commands.run('echo here')).stdout, 'here\n')
  await s.kill()
})

claim('Ctrl-C of up ends sandboxes that still run, and leaves nothing', async () => {
  const s = await create()
  await s.commands.run('setsid sleep 300 >/dev/null 2>&1 &', { user: 'root' })
  const r = await i.stop()
  assert.equal(r.code, 0)
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})

claim('up starts again on the state that it left, with the same key', async () => {
  const key = i.key
  await i.up()
  assert.equal(i.key, key)
  assert.deepEqual(await Sandbox.list(opts).nextItems(), [])
  const s = await create()
  assert.equal((await s.commands.run('echo again')).stdout, 'again\n')
  await s.kill()
})

claim('--keep leaves sandboxes running, and the next up finds them', async () => {
  await i.stop()
  i.args = ['--keep']
  await i.up()
  const s = await create()
  const r = await i.stop()
  assert.equal(r.code, 0)
  assert.ok(sandboxPids(s.sandboxId).length > 0, 'it was ended')
  i.args = []
  await i.up()
  assert.equal((await s.commands.run('echo kept')).stdout, 'kept\n')
  await i.stop()
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
