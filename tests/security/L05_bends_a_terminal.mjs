// SPDX-License-Identifier: Apache-2.0
// Attack: a terminal of no size, of every size, that says every byte, and that is stopped while it is written to.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

claim('odd sizes, raw bytes and a stopped terminal hold nobody else up', { timeout: 90_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  let text = ''
  const pty = await s.pty.create({ cols: 80, rows: 24, onData: (d) => { text = (text + Buffer.from(d).toString('latin1')).slice(-200_000) } })
  const type = (line) => s.pty.sendInput(pty.pid, new TextEncoder().encode(line))
  await type('echo con""trol\n')
  await until('the control: it answers', 5000, () => text.includes('control'))
  await withVictim(t, 'L05', async () => {
    for (const [cols, rows] of [[0, 0], [65535, 65535], [1, 1], [4294967295, 1], [-1, 5], [1e10, 3]]) await s.pty.resize(pty.pid, { cols, rows }).catch((e) => assert.match(String(e), /Error/))
    await Promise.all(Array.from({ length: 300 }, (_, n) => s.pty.resize(pty.pid, { cols: 1 + (n % 300), rows: 1 + (n % 100) })))
    await type("head -c 300000 /dev/urandom; printf '\\033]52;c;cHduZWQ=\\007\\033[6n\\033[21t'; echo\n")
    await type('\x13') // XOFF
    for (let i = 0; i < 40; i++) await s.pty.sendInput(pty.pid, new Uint8Array(4096).fill(120), { requestTimeoutMs: 1000 }).catch(() => {})
  })
  // A second terminal, and the agent, are not behind the first.
  let other = ''
  const second = await s.pty.create({ cols: 80, rows: 24, onData: (d) => { other += Buffer.from(d).toString('latin1') } })
  await s.pty.sendInput(second.pid, new TextEncoder().encode('echo x$((6 * 7))y\n'))
  await until('the second terminal to answer', 10_000, () => other.includes('x42y'))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  assert.equal(await s.pty.kill(pty.pid), true)
})
