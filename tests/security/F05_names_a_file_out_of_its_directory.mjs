// SPDX-License-Identifier: Apache-2.0
// Attack: upload many files in one request, with names that lead out, twice, or nowhere. (No route takes an archive.)
import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync, readFileSync } from 'node:fs'
import { claim, http, into, Sandbox, tokenOf } from '../lib/sdk.mjs'

const part = (name, text) => `--b\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n${text}\r\n`

claim('names with dots, roots, links and nothing write into the sandbox or are refused', async (t) => {
  const file = `/var/tmp/firebreak-host-${process.pid}`
  writeFileSync(file, 'of the host', { mode: 0o666 })
  t.after(() => rmSync(file, { force: true }))
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  await s.commands.run(`ln -s /proc/1/root /home/user/link; ln -s ${file} /home/user/straight`)
  const put = (names, path = '') =>
    http('POST', `/files${path}`, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s), 'Content-Type': 'multipart/form-data; boundary=b' }), body: Buffer.from(`${names.map(([n, x]) => part(n, x)).join('')}--b--\r\n`, 'latin1') })
  assert.equal((await put([['plain', 'arrived']])).status, 200)
  assert.equal(await s.files.read('/home/user/plain'), 'arrived', 'the control: an upload arrives')
  for (const name of [`../../../../../..${file}`, file, `link${file}`, 'straight', `/proc/self/root${file}`, `/proc/1/root${file}`, `..\\\\..\\\\x`]) {
    const r = await put([[name, 'overwritten']])
    assert.ok([200, 400, 403, 404, 500].includes(r.status), `${name}: ${r.status}`)
    assert.equal(readFileSync(file, 'utf8'), 'of the host', name)
  }
  // Names that are none: refused, and nothing of the whole request but what came before may be there.
  for (const name of ['', '.', '..', '/', 'x'.repeat(300)]) {
    const r = await put([[name, 'bad']])
    assert.ok(r.status >= 400 && r.status < 500, `"${name.slice(0, 9)}" is ${r.status}: ${r.text}`)
  }
  await put([['twice', 'first'], ['twice', 'second']])
  assert.match(await s.files.read('/home/user/twice'), /^(first|second)$/)
  assert.ok(existsSync(file))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
