// SPDX-License-Identifier: Apache-2.0
// Attack: names that break lists, headers and terminals of whoever looks at my files.
import assert from 'node:assert/strict'
import { claim, http, into, Sandbox, tokenOf } from '../lib/sdk.mjs'

claim('odd names are listed as they are, and a download is one answer with one head', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const names = ['plain', 'new\nline', 'cr\r\nX-Injected: yes', '-rf', '"quotes"; filename="x', "single'", 'back\\slash', '\u202etxt.exe', '\x1b[2Jcleared', 'n'.repeat(255), '%00%2f', 'a b\tc', '日本']
  await s.commands.run('mkdir /tmp/odd')
  // By a program: an upload refuses a name with control bytes already.
  await s.files.write('/tmp/names', names.join('\0'))
  await s.commands.run(`python3 -c "
import os
for n in open('/tmp/names', newline='').read().split(chr(0)):
    f = open('/tmp/odd/' + n, 'w'); f.write('inside'); f.close()
"`)
  await assert.rejects(s.files.write([{ path: '/tmp/odd/a\x1bb', data: 'x' }, { path: '/tmp/odd/c', data: 'x' }]), /control character/)
  await s.commands.run("cd /tmp/odd; printf raw > $'\\xff\\xfe'")
  const seen = (await s.commands.run('ls -A /tmp/odd | wc -l; find /tmp/odd -type f -printf x')).stdout
  assert.match(seen, new RegExp(`x{${names.length + 1}}`), 'the control: the names are there')
  const listed = (await s.files.list('/tmp/odd')).map((e) => e.name)
  for (const n of names) assert.ok(listed.includes(n), `${JSON.stringify(n)} is not in ${JSON.stringify(listed)}`)
  assert.equal(listed.length, names.length + 1, 'a name that is not UTF-8 is listed as well')
  for (const n of names) {
    const r = await http('GET', `/files?path=${encodeURIComponent(`/tmp/odd/${n}`)}`, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) })
    assert.equal(r.status, 200, `${JSON.stringify(n)}: ${r.text}`)
    assert.equal(r.text, 'inside')
    assert.equal(r.headers['x-injected'], undefined, 'a name has become a header')
    const disposition = r.headers['content-disposition'] ?? ''
    assert.doesNotMatch(disposition, /[\x00-\x1f\x7f]/, 'a control byte in a header')
    if (n.startsWith('"')) assert.doesNotMatch(disposition, /filename="x"?$/, 'the name has ended the field')
  }
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
