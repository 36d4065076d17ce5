// SPDX-License-Identifier: Apache-2.0
// Limits that hold, and starts that fail.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { api, claim, e2b, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs, until } from '../lib/host.mjs'

const files = (id, name) => cgroupDirs(id).filter((d) => (d.endsWith(id) || d.endsWith(`${id}/box`)) && existsSync(join(d, name))).map((d) => readFileSync(join(d, name), 'utf8').trim())

claim('memory, swap, cpu and processes are limited in the kernel, in whatever hierarchy the host has', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const promised = 2048 + 1 // MiB: the template's, and what the kernel and the start of the monitor take
  const one = (name, names) => {
    const found = names.flatMap((n) => files(s.sandboxId, n))
    assert.ok(found.length > 0, `no group of the sandbox has a file for ${name}: ${names}`)
    return found[0]
  }
  assert.equal(Number(one('memory', ['memory.limit_in_bytes', 'memory.max'])), promised * 2 ** 20)
  const swap = ['memory.memsw.limit_in_bytes', 'memory.swap.max'].flatMap((n) => files(s.sandboxId, n))
  if (swap.length) assert.ok(['0', String(promised * 2 ** 20)].includes(swap[0]), `swap is ${swap}`)
  const quota = files(s.sandboxId, 'cpu.cfs_quota_us')
  if (quota.length) assert.equal(Number(quota[0]) / Number(files(s.sandboxId, 'cpu.cfs_period_us')[0]), 2)
  else assert.equal(one('cpu', ['cpu.max']).split(' ').reduce((q, p) => q / p), 2)
  const pids = Number(one('processes', ['pids.max']))
  assert.ok(pids >= 64 && pids <= 32768, `${pids}`)
})

claim('an upload that does not fit is refused as such, and the sandbox works on', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  await s.commands.run('head -c 1500M /dev/zero > /home/user/filler; df --output=avail -m / | tail -1')
  await assert.rejects(s.files.write('/home/user/more', new Blob([new Uint8Array(200 << 20)]), { useOctetStream: true }), e2b.NotEnoughSpaceError)
  await s.commands.run('rm /home/user/filler')
  await s.files.write('/home/user/more', 'fits again')
  assert.equal(await s.files.read('/home/user/more'), 'fits again')
})

claim('a start that fails says which step failed and leaves no trace', async (t) => {
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  const recipe = JSON.parse(readFileSync(join(store, 'base.json')))
  const garbage = Buffer.alloc(1 << 20, 'not an image ')
  const digest = createHash('sha256').update(garbage).digest('hex')
  const put = (name, d) => writeFileSync(join(store, `${name}.json`), JSON.stringify({ ...recipe, name, aliases: [], digest: d }), { mode: 0o644 })
  put('absent-image', '0'.repeat(64))
  put('garbage-image', digest)
  writeFileSync(join(store, `${digest}.erofs`), garbage, { mode: 0o444 })
  t.after(() => ['absent-image.json', 'garbage-image.json', `${digest}.erofs`].forEach((f) => rmSync(join(store, f), { force: true })))
  const count = async () => (await Sandbox.list().nextItems()).length
  const before = [await count(), cgroupDirs(process.env.FIREBREAK_T_NAME).length]
  for (const name of ['absent-image', 'garbage-image']) {
    const r = await api('POST', '/v2/sandboxes', { body: { templateID: name } })
    assert.equal(r.status, 500, `${name}: ${r.text}`)
    assert.equal(r.json.code, 500)
    assert.match(r.json.message, /image/i, 'the step is not named')
  }
  await until('everything to be as before', 3000, async () => (await count()) === before[0] && cgroupDirs(process.env.FIREBREAK_T_NAME).length === before[1])
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  await s.kill()
})
