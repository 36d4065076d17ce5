// SPDX-License-Identifier: Apache-2.0
// Small templates for tests: a tree that a test fills, packed with mkfs.erofs into the store of the running instance.
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const busybox = '/usr/bin/busybox' // static: tools/install-deps.sh test

// As little as envd needs to run `bash -c` as a user.
function skeleton(tree) {
  for (const d of ['bin', 'etc', 'home', 'home/user', 'root', 'tmp', 'usr', 'usr/bin', 'proc', 'sys', 'dev', 'run']) mkdirSync(join(tree, d), { mode: 0o755 })
  copyFileSync(busybox, join(tree, 'bin/busybox'))
  writeFileSync(join(tree, 'bin/bash'), '#!/bin/busybox sh\nexec /bin/busybox sh "$@"\n')
  for (const f of ['bin/busybox', 'bin/bash']) chmodSync(join(tree, f), 0o755)
  writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n')
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\nuser:x:1000:\n')
  chownSync(join(tree, 'home/user'), 1000, 1000)
  chmodSync(join(tree, 'tmp'), 0o1777)
}

// fill(tree) changes the skeleton. `recipe` are further fields of the template's metadata. Returns its name, and what removes it.
export function installImage(fill, recipe = {}, store = join(process.env.FIREBREAK_T_STATE, 'templates')) {
  const work = mkdtempSync(join(process.env.FIREBREAK_T_DIR, 'image-'))
  try {
    const tree = join(work, 'tree')
    mkdirSync(tree)
    chmodSync(tree, 0o755)
    skeleton(tree)
    fill(tree)
    const packed = join(work, 'image')
    const r = spawnSync('mkfs.erofs', ['-T0', `-U${crypto.randomUUID()}`, '--quiet', packed, tree], { encoding: 'utf8' })
    if (r.status !== 0) throw new Error(`mkfs.erofs: ${r.error ?? r.stderr}`)
    const bytes = readFileSync(packed)
    const digest = createHash('sha256').update(bytes).digest('hex')
    const name = `t-${randomBytes(6).toString('hex')}`
    chmodSync(packed, 0o444)
    const files = [join(store, `${digest}.erofs`), join(store, `${name}.json`)]
    renameSync(packed, files[0])
    writeFileSync(files[1], JSON.stringify({
      name, aliases: [], digest, bytes: bytes.length, createdAt: '2026-01-01T00:00:00Z', cpuCount: 1, memoryMB: 256, diskSizeMB: 64, user: 'user', workdir: '/home/user', env: {},
      buildID: crypto.randomUUID(), ...recipe,
    }), { mode: 0o644 })
    return { name, remove: () => files.forEach((f) => rmSync(f, { force: true })) }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

// The template `base` with other settings, under a name of its own.
export function variantOfBase(recipe, store = join(process.env.FIREBREAK_T_STATE, 'templates')) {
  const name = `t-${randomBytes(6).toString('hex')}`
  const file = join(store, `${name}.json`)
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(join(store, 'base.json'))), ...recipe, name, aliases: [] }), { mode: 0o644 })
  return { name, remove: () => rmSync(file, { force: true }) }
}
