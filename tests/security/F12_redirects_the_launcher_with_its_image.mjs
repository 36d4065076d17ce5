// SPDX-License-Identifier: Apache-2.0
// Attack (F12, K10, T4): an image that has links, pipes and files where the launcher mounts and writes.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, readdirSync, lstatSync, readlinkSync, rmSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before } from 'node:test'
import { api, claim, Sandbox } from '../lib/sdk.mjs'
import { installImage } from '../lib/image.mjs'
import { cgroupDirs } from '../lib/host.mjs'

const canary = join(process.env.FIREBREAK_T_DIR, 'canary')
const up = '../../../../../../../../../..'
const at = (tree, name) => join(tree, name)
const replace = (name, make) => (tree) => {
  rmSync(at(tree, name), { recursive: true, force: true })
  make(at(tree, name))
}
const link = (target) => (path) => symlinkSync(target, path)
const fifo = (path) => assert.equal(spawnSync('mkfifo', [path]).status, 0)
const node = (path) => assert.equal(spawnSync('mknod', [path, 'c', '1', '3']).status, 0)
const file = (path) => writeFileSync(path, 'a file')

const STARTS = null
// [what the image has, how it is made, the step that must be named or STARTS]
const images = [
  ['proc is a link to the canary', replace('proc', link(canary)), /mount \/proc/],
  ['proc is a link to /etc', replace('proc', link('/etc')), /mount \/proc/],
  ['proc is a link upwards', replace('proc', link(`${up}${canary}`)), /mount \/proc/],
  ['proc is a link to a directory inside', replace('proc', link('etc')), /mount \/proc/],
  ['proc is a link to nothing', replace('proc', link(`${canary}/made-by-init`)), /mount \/proc/],
  ['proc is a pipe', replace('proc', fifo), /mount \/proc/],
  ['proc is a file', replace('proc', file), /mount \/proc/],
  ['proc is a device', replace('proc', node), /mount \/proc/],
  ['dev is a link to the canary', replace('dev', link(canary)), /make \/dev/],
  ['dev is a link to /proc/self/root', replace('dev', link('/proc/self/root')), /make \/dev/],
  ['dev is a pipe', replace('dev', fifo), /make \/dev/],
  ['sys is a link to the canary', replace('sys', link(canary)), /make \/sys/],
  ['run is a link to /', replace('run', link('/')), /make \/run/],
  ['run is a link to /proc/self/fd', replace('run', link('/proc/self/fd')), /make \/run/],
  ['dev has nodes, pipes and links of its own', (t) => {
    link(join(canary, 'null'))(at(t, 'dev/null'))
    fifo(at(t, 'dev/zero'))
    node(at(t, 'dev/full'))
    link(canary)(at(t, 'dev/shm'))
    link(canary)(at(t, 'dev/pts'))
  }, STARTS],
  ['proc has entries of its own', (t) => {
    mkdirSync(at(t, 'proc/sys'))
    link(canary)(at(t, 'proc/sys/user'))
    link('/etc/shadow')(at(t, 'proc/kcore'))
  }, STARTS],
  ['usr is a link to /', replace('usr', link('/')), STARTS],
  ['usr/bin is a link to the canary', replace('usr/bin', link(canary)), STARTS],
  ['sudo is a link to a file of the host', (t) => link(join(canary, 'sudo'))(at(t, 'usr/bin/sudo')), STARTS],
  ['sudo is a pipe', (t) => fifo(at(t, 'usr/bin/sudo')), STARTS],
  ['sudo is a device', (t) => node(at(t, 'usr/bin/sudo')), STARTS],
  ['sudo is a directory', (t) => mkdirSync(at(t, 'usr/bin/sudo')), STARTS],
  ['sudo is the shell by another name', (t) => linkSync(at(t, 'bin/busybox'), at(t, 'usr/bin/sudo')), STARTS],
  ['the mount points are missing', (t) => ['proc', 'dev', 'sys', 'run'].forEach((d) => rmdirSync(at(t, d))), STARTS],
  ['the mount points are closed to everybody', (t) => ['proc', 'dev', 'sys', 'run'].forEach((d) => chmodSync(at(t, d), 0o000)), STARTS],
  ['it has the names of the staging place', (t) => ['lower', 'upper', 'work'].forEach((d) => link(canary)(at(t, d))), STARTS],
  ['tmp is a link to the canary', replace('tmp', link(canary)), STARTS],
]

// Content, kinds, modes and times of everything in the canary, and what the host has at the places that the images name.
function fingerprint() {
  const h = createHash('sha256')
  const walk = (dir) => {
    for (const name of ['', ...readdirSync(dir).sort()]) {
      const path = join(dir, name)
      const s = lstatSync(path)
      h.update(JSON.stringify([path, s.mode, s.uid, s.size, s.mtimeMs, s.ctimeMs, s.ino]))
      if (s.isSymbolicLink()) h.update(readlinkSync(path))
      else if (s.isFile()) h.update(readFileSync(path))
      else if (name && s.isDirectory()) walk(path)
    }
  }
  walk(canary)
  for (const path of ['/etc', '/proc/sys/user/max_user_namespaces', '/usr/bin']) h.update(JSON.stringify([path, lstatSync(path).ino, lstatSync(path).mode]))
  for (const dir of ['/', '/dev', '/usr/bin']) h.update(JSON.stringify(readdirSync(dir).sort().filter((n) => !/^(loop|pts|shm)/.test(n))))
  h.update(readFileSync('/proc/sys/user/max_user_namespaces'))
  h.update(readFileSync('/proc/self/mountinfo'))
  return h.digest('hex')
}

before(() => {
  mkdirSync(join(canary, 'shm'), { recursive: true })
  for (const f of ['null', 'sudo', 'core']) writeFileSync(join(canary, f), 'of the host')
})

claim('the control: mounting by path goes where the image says', () => {
  const tree = join(process.env.FIREBREAK_T_DIR, 'naive')
  mkdirSync(tree)
  symlinkSync(canary, join(tree, 'proc'))
  const r = spawnSync('unshare', ['--mount', 'sh', '-c', `mount -t tmpfs naive ${tree}/proc && ls ${canary} | wc -l`], { encoding: 'utf8' })
  rmSync(tree, { recursive: true })
  assert.equal(r.stdout.trim(), '0', `the canary was not covered: ${r.stdout} ${r.stderr}`)
})

async function tryImage(name) {
  const r = await api('POST', '/v2/sandboxes', { body: { templateID: name, timeout: 60 } })
  if (r.status !== 201) return r
  const s = await Sandbox.connect(r.json.sandboxID)
  try {
    const out = await s.commands.run('/bin/busybox stat -c %F /proc /dev/null /dev/shm; /bin/busybox cat /proc/sys/user/max_user_namespaces; echo done', { timeoutMs: 20000 })
    assert.equal(out.stdout, 'directory\ncharacter special file\ndirectory\n0\ndone\n')
  } finally {
    await s.kill()
  }
  return r
}

for (const [what, fill, step] of images)
  claim(`an image in which ${what}`, async (t) => {
    const image = installImage(fill)
    t.after(() => image.remove())
    const before = fingerprint()
    const groups = cgroupDirs(process.env.FIREBREAK_T_NAME).length
    const r = await tryImage(image.name)
    if (step === STARTS) assert.equal(r.status, 201, r.text)
    else {
      assert.equal(r.status, 500, r.text)
      assert.match(r.json.message, step, 'the step is not named')
      assert.match(r.json.message, /Not a directory|symbolic links/, 'it did not fail for what is there')
    }
    assert.equal(fingerprint(), before, 'the host was changed')
    assert.ok(cgroupDirs(process.env.FIREBREAK_T_NAME).length <= groups, 'something of it is left')
  })

claim('afterwards ordinary sandboxes start', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  await s.kill()
})
