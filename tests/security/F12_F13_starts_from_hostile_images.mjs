// SPDX-License-Identifier: Apache-2.0
// Attack: a template whose files are links, devices, pipes, sockets and setuid programs, so that the program that sets a sandbox up, as root
// of more than the sandbox, follows one to the host. FIREBREAK_TREES says how many (40), FIREBREAK_SEED which (always the same, so that
// a red test is a change of the product's); `make hostile-images` is the long form.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'
import { attackWith, fingerprint, HostileImages } from '../lib/hostile_images.mjs'

const trees = Number(process.env.FIREBREAK_TREES ?? 40)
const first = Number(process.env.FIREBREAK_SEED ?? 1) * 1000

claim(`the canary's fingerprint sees a write, a mode, a new name and a hard link (control)`, () => {
  const dir = mkdtempSync(join(tmpdir(), 'firebreak-print-'))
  try {
    mkdirSync(join(dir, 'sub'))
    writeFileSync(join(dir, 'file'), 'of the host')
    symlinkSync(dir, join(dir, 'link'))
    const seen = new Set([fingerprint(dir)])
    // What a set-up that follows a link does: it makes a directory, a file and a node where the link leads.
    mkdirSync(join(dir, 'link/proc'))
    seen.add(fingerprint(dir))
    writeFileSync(join(dir, 'link/sub/null'), '')
    seen.add(fingerprint(dir))
    writeFileSync(join(dir, 'file'), 'of the h0st')
    seen.add(fingerprint(dir))
    assert.equal(seen.size, 4)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

claim(`${trees} images leave the host as it was: each starts, or fails at a step that has a name`, { timeout: 120_000 + trees * 2000 }, async (t) => {
  console.error(`# F12: FIREBREAK_TREES=${trees} FIREBREAK_SEED=${first / 1000}`)
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  const images = new HostileImages({ store, Sandbox, instance: process.env.FIREBREAK_T_NAME })
  const neighbour = await Sandbox.create({ timeoutMs: 600_000 })
  t.after(() => (images.end(), neighbour.kill()))
  const results = []
  await attackWith(images, Array.from({ length: trees }, (_, k) => first + k), async (r) => {
    results.push(r)
    assert.deepEqual(r.faults, [], `tree ${r.seed}:\n${r.story}`)
    assert.ok(images.hostIsAsBefore(), `tree ${r.seed} has changed the host:\n${r.story}`)
    assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  })
  const n = (f) => results.filter(f).length
  console.error(`# F12: ${n((r) => r.started)} started, ${n((r) => r.ran)} of them ran the probe, ${n((r) => !r.started)} were refused by name`)
  assert.equal(results.length, trees)
  assert.ok(n((r) => r.ran) >= trees / 5, 'hardly any image started: the attack did not get to the point')
  assert.ok(n((r) => !r.started) > 0 || trees < 20, 'no image was refused: the trees are not hostile')
  await until('nothing to be left', 3000, () => images.groups().length === 1) // the neighbour
})

claim('programs and libraries of the image that are replaced inside harm only the sandbox', async (t) => {
  const [s, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([s.kill().catch(() => {}), neighbour.kill()]))
  const mark = `/tmp/of-the-host-${process.pid}`
  const script = `#!/bin/bash -p\ntouch ${mark}; echo taken over by $(/usr/bin/id -u)\n`
  await s.files.write('/tmp/taken', script, { user: 'root' })
  await s.commands.run('chmod 6755 /tmp/taken; for f in /usr/bin/true /usr/bin/ls /usr/bin/umount /usr/bin/newuidmap /usr/sbin/ldconfig /sbin/modprobe /sbin/init /envd /usr/bin/envd; do rm -f $f; cp -p /tmp/taken $f; done; echo /tmp/none.so > /etc/ld.so.preload', { user: 'root' })
  assert.equal((await s.commands.run('/usr/bin/true', { user: 'user' })).stdout, 'taken over by 1000\n', 'the control: the replaced program runs, and the setuid bit gives nothing')
  assert.match((await s.commands.run('/bin/cat /dev/null').catch((e) => e)).stderr ?? '', /ld\.so|preload/, 'the control: the loader of the sandbox obeys')
  // The agent goes on with it, and the host has run none of it.
  assert.equal(await s.files.read('/etc/ld.so.preload'), '/tmp/none.so\n')
  assert.equal((await neighbour.commands.run('echo works')).stdout, 'works\n')
  assert.equal(await s.kill(), true)
  assert.ok(!existsSync(mark), 'something of the sandbox ran on the host')
})
