// SPDX-License-Identifier: Apache-2.0
// Restart, crash and upgrade of every daemon, as an operator does it; sandboxes and what is in them stay, or end for a named reason.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { before, after } from 'node:test'
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { claim, e2b, Sandbox } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment, program } from '../lib/instance.mjs'
import { cgroupDirs, exe, monitorPid, sandboxPids, until, UIDS_PER_SANDBOX } from '../lib/host.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

async function create() {
  const s = await Sandbox.create({ ...i.sdk, timeoutMs: 600_000 })
  i.ids.add(s.sandboxId)
  await s.files.write('/home/user/kept', 'what is in it')
  return s
}
const isThere = async (s) => {
  assert.equal(await s.files.read('/home/user/kept'), 'what is in it')
  assert.equal((await s.commands.run('echo there')).stdout, 'there\n')
}
const isWhole = () => {
  const r = i.cli(['check-invariants', '--settle-ms', '5000'])
  assert.equal(r.code, 0, r.stdout)
}

// One that is expected to fail.
const upOnce = () => spawnSync(program('firebreak'), ['up', '--instance', i.name, '--state', i.state, '--run', i.run, '--listen', `127.0.0.1:${i.port}`,
  '--uid-base', String(i.uidBase)], { encoding: 'utf8', timeout: 30000 })

claim('up starts a daemon again that died, after a wait that grows while it keeps dying', async () => {
  const s = await create()
  for (const name of ['warden', 'e2b-sandbox']) {
    for (let n = 0; n < 3; n++) {
      const old = await until(`a ${name}`, 20000, () => i.daemon(name))
      process.kill(old, 'SIGKILL')
      await until(`another ${name}`, 20000, () => ![undefined, old].includes(i.daemon(name)))
    }
    const waits = [...i.logText().matchAll(new RegExp(`${name} ended .*again in ([0-9.]+) s`, 'g'))].map((m) => Number(m[1]))
    assert.equal(waits.length, 3)
    assert.ok(waits[2] > waits[0], waits.join())
  }
  await until('it to serve', 20000, () => i.isServing())
  await until('the sandbox to answer', 20000, () => isThere(s).then(() => true, () => false))
  isWhole()
  await s.kill()
})

claim('kill -9 of up, and up again at once: its sandboxes are found', async () => {
  const s = await create()
  i.child.kill('SIGKILL')
  await i.ended
  await i.up()
  await isThere(s)
  isWhole()
  await s.kill()
})

claim('kill -9 of up while a command runs, and up again at once: it takes the address as soon as the API lets go of it', async () => {
  const s = await create()
  const slow = s.commands.run('sleep 2; echo complete')
  slow.catch(() => {})
  await until('the command to run', 5000, () => sandboxPids(s.sandboxId).length >= 3)
  i.child.kill('SIGKILL')
  await i.ended
  await i.up()
  await isThere(s)
  isWhole()
  await s.kill()
})

claim('an upgrade: up with --keep ends, programs are replaced, and the new ones find the sandboxes', async () => {
  await i.stop()
  i.args = ['--keep']
  await i.up()
  const s = await create()
  await i.stop()
  assert.ok(monitorPid(s.sandboxId), 'it was ended')
  // The next release, at another place, as another file of each program.
  const release = join(i.dir, 'release')
  mkdirSync(release)
  for (const name of ['firebreak', 'warden', 'jailmon', 'envd', 'e2b-sandbox', 'recorder']) copyFileSync(program(name), join(release, name))
  i.program = join(release, 'firebreak')
  i.args = []
  await i.up()
  await until('the new programs to run', 5000, () => exe(i.daemon('warden') ?? 0).startsWith(release) && exe(i.daemon('e2b-sandbox') ?? 0).startsWith(release))
  await isThere(s)
  const second = await create()
  assert.ok(exe(monitorPid(second.sandboxId)).includes('jailmon'))
  await isThere(second)
  isWhole()
  await Promise.all([s.kill(), second.kill()])
  i.program = undefined
})

claim('an up that cannot start leaves the sandboxes of the one before it alone', async () => {
  await i.stop()
  i.args = ['--keep']
  await i.up()
  const s = await create()
  await i.stop()
  const db = join(i.state, 'db/firebreak.db')
  renameSync(db, `${db}.aside`)
  writeFileSync(db, 'no database, and the API cannot open it')
  const r = upOnce()
  assert.equal(r.status, 1, r.stderr)
  assert.match(r.stderr, /sandboxes go on/)
  assert.ok(monitorPid(s.sandboxId), 'it was ended')
  renameSync(`${db}.aside`, db)
  i.args = []
  await i.up()
  await isThere(s)
  await s.kill()
})

claim('an address that somebody else has is named at once, and sandboxes stay', async () => {
  await i.stop()
  i.args = ['--keep']
  await i.up()
  const s = await create()
  await i.stop()
  const other = createServer().listen(i.port, '127.0.0.1')
  await new Promise((done) => other.once('listening', done))
  const r = upOnce()
  assert.equal(r.status, 1, r.stderr)
  assert.match(r.stderr, /Address already in use/)
  await new Promise((done) => other.close(done))
  assert.ok(monitorPid(s.sandboxId), 'it was ended')
  await i.up()
  await isThere(s)
  await s.kill()
})

claim('a warden with other uids does not adopt a sandbox that has those of another slot', async () => {
  i.args = ['--keep']
  if (i.isUp) await i.stop()
  await i.up()
  const [s, t] = [await create(), await create()]
  await i.stop()
  const base = i.uidBase
  i.uidBase += UIDS_PER_SANDBOX // slot 0 would now get the uids of slot 1
  try {
    await i.up()
    for (const x of [s, t]) {
      await until('it to be gone', 10000, () => Sandbox.getInfo(x.sandboxId, i.sdk).then(() => false, (e) => e instanceof e2b.SandboxNotFoundError))
      await until('its groups to be gone', 10000, () => cgroupDirs(x.sandboxId).length === 0)
    }
    assert.match(i.logText(), new RegExp(`sandbox_leftover sandbox=${s.sandboxId} err=34`))
    isWhole()
    await i.stop()
  } finally {
    i.uidBase = base
  }
})

claim('at the end nothing is left', async () => {
  i.args = []
  if (!i.isUp) await i.up()
  await i.stop()
  const r = i.cli(['check-invariants', '--stopped', '--uid-base', String(i.uidBase), '--settle-ms', '5000'])
  assert.equal(r.code, 0, r.stdout)
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
