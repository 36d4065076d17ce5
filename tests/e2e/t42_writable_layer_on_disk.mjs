// SPDX-License-Identifier: Apache-2.0
// Templates with "writableLayer": "disk": what is written does not have to fit into memory, and ends at the size of the layer.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, statSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { after, before } from 'node:test'
import { api, claim, Sandbox } from '../lib/sdk.mjs'
import { Instance, leftoversAfterAMoment, program } from '../lib/instance.mjs'
import { variantOfBase } from '../lib/image.mjs'
import { until } from '../lib/host.mjs'

const state = process.env.FIREBREAK_T_STATE
const loops = () => readdirSync('/sys/block').filter((n) => /^loop/.test(n) && existsSync(`/sys/block/${n}/loop/backing_file`))
  .filter((n) => readFileSync(`/sys/block/${n}/loop/backing_file`, 'utf8').startsWith(join(state, 'layers')))
let template
before(() => {
  template = variantOfBase({ writableLayer: 'disk', diskSizeMB: 512, memoryMB: 128 })
})
after(() => template.remove())

claim('without a layer of that size the start fails and names the step', async () => {
  const r = await api('POST', '/v2/sandboxes', { body: { templateID: template.name } })
  assert.equal(r.status, 500, r.text)
  assert.match(r.json.message, /writable layer on disk: No such file/)
  const made = spawnSync(program('firebreak'), ['template', 'disk', '512', '--state', state], { encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  assert.equal(statSync(join(state, 'layers/512.ext4')).size, 512 << 20)
  assert.ok(statSync(join(state, 'layers/512.ext4')).blocks * 512 < 8 << 20, 'it is not sparse')
  assert.equal(spawnSync(program('firebreak'), ['template', 'disk', '7; id', '--state', state]).status, 2)
})

claim('three times the memory can be written and read back, and no more than the layer holds', { timeout: 900_000 }, async (t) => {
  const s = await Sandbox.create(template.name, { timeoutMs: 1_200_000 })
  t.after(() => s.kill().catch(() => {}))
  assert.equal(loops().length, 1)
  const r = await s.commands.run('head -c 384M /dev/zero > big && sha256sum < big; df -m --output=size / | tail -1', { timeoutMs: 600_000 })
  const zeros = createHash('sha256')
  for (let i = 0; i < 384; i++) zeros.update(Buffer.alloc(1 << 20))
  assert.ok(r.stdout.startsWith(zeros.digest('hex')), r.stdout)
  const more = await s.commands.run('head -c 384M /dev/zero > more', { timeoutMs: 600_000 }).catch((e) => e)
  assert.match(more.stderr, /No space left on device/)
  await s.commands.run('rm big more && echo fits > again && cat again')
  const flood = await s.commands.run(`python3 - <<'END'
import errno
n = 0
try:
    while n < 200000:
        open(f"/tmp/{n}", "w").close(); n += 1
except OSError as e: print(errno.errorcode[e.errno], 120000 < n < 140000)
END`, { timeoutMs: 600_000 })
  assert.equal(flood.stdout, 'ENOSPC True\n')
  assert.ok((await api('GET', `/sandboxes/${s.sandboxId}`)).json.isolation.oomKills === 0)
})

claim('it behaves as a root file system does: owners, removed directories of the image, no devices and no setuid', async (t) => {
  const s = await Sandbox.create(template.name, { timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const r = await s.commands.run(`cd / && rm -rf usr/share/doc && mkdir usr/share/doc && ls usr/share/doc | wc -l
touch /root/mine && chown user /root/mine && stat -c '%U %G' /root/mine
cp /bin/cat /tmp/cat && chmod 4755 /tmp/cat && stat -c %a /tmp/cat
mknod /tmp/disk b 254 0; setfattr -n user.x -v y /root/mine 2>/dev/null; true`, { user: 'root' })
  assert.equal(r.stdout, '0\nuser root\n4755\n')
  assert.match(r.stderr, /mknod.*not permitted/)
  assert.match((await s.commands.run('/tmp/cat /etc/shadow').catch((e) => e)).stderr, /denied/, 'setuid had an effect')
  const options = (await s.commands.run("grep ' / / ' /proc/self/mountinfo; cat /proc/self/mountinfo | grep -c ext4 || true")).stdout
  assert.match(options, /nosuid,nodev/)
  assert.match(options, /\n0\n$/, 'the layer itself is to be seen inside')
})

claim('two sandboxes share nothing of it, the empty one stays empty, and all goes with its sandbox', async () => {
  const layer = join(state, 'layers/512.ext4')
  const digest = () => spawnSync('sha256sum', [layer], { encoding: 'utf8' }).stdout
  const before = digest()
  const [a, b] = await Promise.all([Sandbox.create(template.name, { timeoutMs: 120_000 }), Sandbox.create(template.name, { timeoutMs: 120_000 })])
  await a.commands.run('echo secret-of-a > secret && sync')
  assert.equal((await b.commands.run('ls -A ~ | grep -c secret || true')).stdout, '0\n')
  assert.equal(loops().length, 2)
  await Promise.all([a.kill(), b.kill()])
  await until('the loop devices to be free', 10000, () => loops().length === 0)
  assert.equal(digest(), before)
  assert.deepEqual(readdirSync(join(state, 'layers')), ['512.ext4'])
  rmSync(layer)
})

claim('where the host has less space than the layer, a create is 503 and says so, other templates start, and room helps', async () => {
  const i = await Instance.start()
  const layers = join(i.state, 'layers')
  const small = variantOfBase({ writableLayer: 'disk', diskSizeMB: 512, memoryMB: 128 }, join(i.state, 'templates'))
  const create = () => api('POST', '/v2/sandboxes', { url: i.url, headers: { 'X-API-Key': i.key }, body: { templateID: small.name } })
  try {
    await i.stop() // the warden opens the directory when it starts
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=755', 'layers', layers]).status, 0)
    await i.up()
    assert.equal(spawnSync(program('firebreak'), ['template', 'disk', '512', '--state', i.state]).status, 0)
    const r = await create()
    assert.equal(r.status, 503, r.text)
    assert.match(r.json.message, /too little space on disk .*writable layer on disk/)
    assert.ok(Number(r.headers['retry-after']) > 0)
    const other = await Sandbox.create({ ...i.sdk, timeoutMs: 60_000 })
    assert.equal((await other.commands.run('echo works')).stdout, 'works\n')
    await other.kill()
    assert.equal(spawnSync('mount', ['-o', 'remount,size=1g', layers]).status, 0)
    const made = await create()
    assert.equal(made.status, 201, made.text)
    await i.stop()
    assert.equal(spawnSync('umount', [layers]).status, 0, 'something of the layer is in use still')
    assert.deepEqual(await leftoversAfterAMoment(i), [])
  } finally {
    if (i.isUp) await i.stop()
    spawnSync('umount', [layers])
    await i.end()
  }
})
