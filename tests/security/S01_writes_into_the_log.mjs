// SPDX-License-Identifier: Apache-2.0
// Attack: have the services write a log line that I made, by names, values and paths with line ends, quotes and terminal codes.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { api, claim, http, into, Sandbox, tokenOf } from '../lib/sdk.mjs'

const forged = 'ts=2026-01-01T00:00:00.000Z level=error proc=warden event=forged_by_a_tenant sandbox=x'

claim('one event is one line, whatever a tenant says', async (t) => {
  const before = readFileSync(process.env.FIREBREAK_T_LOG, 'utf8').length
  const nasty = [`\n${forged}\n`, `\r\n${forged}`, `\x1b[2J\x1b]52;c;eA==\x07`, `" event=forged_by_a_tenant x="`, '\u2028' + forged, '\u202e' + forged, '}{', 'x'.repeat(2000)]
  const s = await Sandbox.create({ timeoutMs: 60_000, metadata: { note: nasty[1].slice(2) } })
  for (const word of nasty) {
    await api('POST', '/v2/sandboxes', { body: { templateID: word, metadata: { [word]: word } } })
    await api('GET', `/sandboxes/${encodeURIComponent(word)}`)
    await api('GET', '/v2/sandboxes', { headers: { 'User-Agent': word.replace(/[\r\n\x1b\x07\u2028\u202e]/g, '?') } })
    await http('GET', `/files?path=${encodeURIComponent(word)}`, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) })
    await http('GET', '/sandboxes', { headers: { 'X-API-Key': word.replace(/[^\x20-\x7e]/g, '?') } })
    await s.files.write('/tmp/x', word)
    await s.commands.run('cat /tmp/x; cat /tmp/x >&2; logger x 2>/dev/null; cat /tmp/x > /dev/kmsg', { user: 'root', envs: { NASTY: word.replace(/\0/g, '') } }).catch(() => {})
  }
  await s.kill()
  const lines = readFileSync(process.env.FIREBREAK_T_LOG, 'utf8').slice(before).split('\n').filter(Boolean)
  assert.ok(lines.some((l) => l.includes(`event=sandbox_ended sandbox=${s.sandboxId}`)), 'the control: events of this sandbox are in the log')
  for (const line of lines) {
    assert.match(line, /^ts=\d{4}-\d\d-\d\dT[\d:.]+Z level=(debug|info|warn|error) proc=(warden|e2b-sandbox|jailmon) event=[a-z_0-9]+( |$)/, `not a log line: ${JSON.stringify(line)}`)
    assert.doesNotMatch(line, /[\x00-\x1f\x7f]/, `a control byte: ${JSON.stringify(line)}`)
    assert.doesNotMatch(line, /event=forged_by_a_tenant/, `forged: ${JSON.stringify(line)}`)
  }
})
