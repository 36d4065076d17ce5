// SPDX-License-Identifier: Apache-2.0
// Attack: put paths, options, commands and very long words where the name of a template or of a sandbox is expected.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { api, claim, http, Sandbox } from '../lib/sdk.mjs'
import { cgroupDirs } from '../lib/host.mjs'

const words = ['../base', '..', '.', '/', '//etc/passwd', 'base/../base', '-o', '--help', ';touch /tmp/x', '$(touch /tmp/x)', '`id`', 'base\u0000x', 'base\n', ' base', 'a'.repeat(65), 'a'.repeat(5000), '%2e%2e', '\u202ebase', '{}', "' OR 1=1 --", '*']

claim('a template that is named oddly is refused, and nothing is made for it', async (t) => {
  const marker = '/tmp/x'
  rmSync(marker, { force: true })
  const before = cgroupDirs(process.env.FIREBREAK_T_NAME).length
  const store = readdirSync(`${process.env.FIREBREAK_T_STATE}/templates`).join()
  const good = await api('POST', '/v2/sandboxes', { body: { templateID: 'base' } })
  assert.equal(good.status, 201, 'the control: a good name works')
  for (const word of words) {
    const r = await api('POST', '/v2/sandboxes', { body: { templateID: word } })
    if (r.status === 201) await api('DELETE', `/sandboxes/${r.json.sandboxID}`)
    assert.ok([400, 404].includes(r.status), `${JSON.stringify(word.slice(0, 30))} as a template is ${r.status}: ${r.text}`)
  }
  assert.equal((await api('DELETE', `/sandboxes/${good.json.sandboxID}`)).status, 204)
  assert.ok(!existsSync(marker), 'a command was run')
  assert.equal(readdirSync(`${process.env.FIREBREAK_T_STATE}/templates`).join(), store)
  assert.ok(cgroupDirs(process.env.FIREBREAK_T_NAME).length <= before)
})

claim('a sandbox that is named oddly is not found, by path, header and host', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  assert.equal((await api('GET', `/sandboxes/${s.sandboxId}`)).status, 200, 'the control: its id finds it')
  for (const word of [...words, `${s.sandboxId}/../${s.sandboxId}`, `${s.sandboxId}%00`, `x${s.sandboxId}`, s.sandboxId.toUpperCase()]) {
    const encoded = encodeURIComponent(word)
    for (const [method, path] of [['GET', `/sandboxes/${encoded}`], ['DELETE', `/sandboxes/${encoded}`], ['POST', `/sandboxes/${encoded}/timeout`]]) {
      const r = await api(method, path, method === 'POST' ? { body: { timeout: 60 } } : {})
      assert.ok(r.status >= 400 && r.status < 500, `${method} ${path.slice(0, 60)} is ${r.status}`)
    }
    if (/^[\x21-\x7e ]+$/.test(word)) {
      const r = await http('GET', '/health', { headers: { 'E2b-Sandbox-Id': word, 'E2b-Sandbox-Port': '49983' } })
      assert.ok(r.status >= 400 && r.status <= 502, `header ${word.slice(0, 30)} is ${r.status}`)
    }
  }
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
