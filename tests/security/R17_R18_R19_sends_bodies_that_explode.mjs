// SPDX-License-Identifier: Apache-2.0
// Attack: JSON that is deep, wide, doubled or absurd; bodies that were compressed very well; and HTTP/2, to the API and to the agent.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { api, apiKey, base, claim, http, into, Sandbox, tokenOf } from '../lib/sdk.mjs'
import { commandLine, exe, pids, sandboxPids, status } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])
const bodies = {
  deep: '['.repeat(100_000),
  'deep and closed': `{"templateID":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
  'deep in metadata': `{"templateID":"base","metadata":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`,
  'twice the same key': '{"templateID":"absent-1","templateID":"base"}',
  'a number without end': '{"templateID":"base","timeout":1e400000}',
  'many digits': `{"templateID":"base","timeout":${'9'.repeat(100_000)}}`,
  'half a string': '{"templateID":"ba',
  'half a character': Buffer.from([0x7b, 0x22, 0x74, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  'NaN': '{"templateID":"base","timeout":NaN}',
}

claim('each is refused by a status that says so, by the API and by the agent; neither grows', { timeout: 120_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  const service = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const agent = sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
  const rpc = (body, headers = {}) => http('POST', '/filesystem.Filesystem/Stat', { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s), 'Content-Type': 'application/json', 'Connect-Protocol-Version': '1', ...headers }), body })
  assert.equal((await rpc('{"path":"/tmp"}')).status, 200, 'the control: a good one is answered')
  const before = [rss(service), rss(agent)]
  await withVictim(t, 'R17', async () => {
    for (const [name, body] of Object.entries(bodies)) {
      const r = await api('POST', '/v2/sandboxes', { body, headers: { 'Content-Type': 'application/json' } })
      if (r.status === 201) await api('DELETE', `/sandboxes/${r.json.sandboxID}`)
      assert.ok([400, 413].includes(r.status), `${name}: the API says ${r.status} ${r.text.slice(0, 100)}`)
      const a = await rpc(body)
      assert.ok([400, 413, 404, 429].includes(a.status), `${name}: the agent says ${a.status} ${a.text.slice(0, 100)}`)
    }
  })
  // 64 MiB of nothing in 64 KiB.
  const bomb = gzipSync(Buffer.alloc(64 << 20))
  for (const encoding of ['gzip', 'gzip, gzip', 'deflate']) {
    const r = await api('POST', '/v2/sandboxes', { body: bomb, headers: { 'Content-Type': 'application/json', 'Content-Encoding': encoding } })
    assert.ok([400, 413, 415].includes(r.status), `${encoding}: the API says ${r.status}`)
    const a = await rpc(bomb, { 'Content-Encoding': encoding })
    assert.ok([400, 413, 415, 429].includes(a.status), `${encoding}: the agent says ${a.status} ${a.text.slice(0, 100)}`)
  }
  const grown = [rss(service) - before[0], rss(agent) - before[1]]
  console.error(`# R17: the API grew by ${grown[0]} KiB, the agent by ${grown[1]} KiB`)
  assert.ok(grown[0] < 32 * 1024 && grown[1] < 32 * 1024, `${grown} KiB`)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})

claim('HTTP/2 is not offered: neither its preface nor an upgrade is answered with it', async () => {
  const { hostname, port } = new URL(base)
  const talk = (text) => new Promise((done, failed) => {
    const c = connect(Number(port), hostname)
    let got = ''
    c.on('data', (d) => { got += d.toString('latin1') })
    c.on('end', () => done(got))
    c.on('close', () => done(got))
    c.on('error', failed)
    c.setTimeout(5000, () => c.destroy())
    c.write(text, 'latin1')
  })
  assert.match(await talk(`GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 204/, 'the control')
  assert.match(await talk('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'), /^HTTP\/1\.1 (400|405|505)/)
  const upgrade = await talk(`GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-API-Key: ${apiKey}\r\n\r\n`)
  assert.doesNotMatch(upgrade, /^HTTP\/1\.1 101/)
})
