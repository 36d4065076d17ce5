// SPDX-License-Identifier: Apache-2.0
// Attack: have the file API, which is served from outside, open a file of the host for me.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claim, http, into, Sandbox, tokenOf } from '../lib/sdk.mjs'

claim('links, dots and proc lead to files of the sandbox only', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'firebreak-host-'))
  const file = join(dir, 'secret')
  writeFileSync(file, 'secret of the host', { mode: 0o644 })
  assert.equal(readFileSync(`/proc/self/root${file}`, 'utf8'), 'secret of the host') // the control
  t.after(() => rmSync(dir, { recursive: true }))
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  await s.commands.run(`ln -s ${file} /tmp/link; ln -s / /tmp/slash; ln -s /proc/1/root /tmp/one; ln -s ../../../../../../../..${file} /tmp/dots; ln -s /dev/fd/0 /tmp/fd`, { user: 'root' })
  const get = (path) => http('GET', `/files?path=${path}`, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) })
  assert.match((await get('/tmp/slash/etc/os-release')).text, /debian/i, 'the control: a link inside is followed')
  for (const path of ['/tmp/link', `/tmp/slash${file}`, `/tmp/one${file}`, '/tmp/dots', `/../../../../../..${file}`, `..%2f..%2f..%2f..${file}`, `%2e%2e/%2e%2e/%2e%2e${file}`, `/proc/self/root${file}`,
    `/proc/1/root${file}`, `/proc/1/cwd${file}`, `/proc/self/cwd/../../../..${file}`, `//${file}`, `/dev/fd/3/..${file}`]) {
    const r = await get(path)
    assert.ok(r.status >= 400 && r.status < 500, `${path}: ${r.status}`)
    assert.ok(!r.text.includes('secret of the host'), path)
  }
  for (const path of ['/etc/x%00/y', '%00', '~other/x']) assert.ok([400, 404].includes((await get(path)).status), path)
  const put = await http('POST', `/files?path=/tmp/slash${file}`, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s), 'Content-Type': 'application/octet-stream' }), body: 'overwritten' })
  assert.ok(put.status === 200 || put.status >= 400)
  assert.equal(readFileSync(file, 'utf8'), 'secret of the host')
  assert.ok(existsSync(file))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
