// SPDX-License-Identifier: Apache-2.0
// Attack: very many connections that say nothing, that speak a byte at a time, and that do not read, to the API and through it to the agent.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { base, claim, Sandbox, tokenOf } from '../lib/sdk.mjs'
import { withVictim } from '../lib/victim.mjs'

claim('a good client is served while six hundred bad ones hold on', { timeout: 120_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  await s.commands.run('head -c 64M /dev/zero > /tmp/large')
  const { hostname, port } = new URL(base)
  const open = []
  t.after(() => open.forEach((c) => c.destroy()))
  const dial = (text) => {
    const c = connect(Number(port), hostname)
    c.on('error', () => {})
    if (text) c.write(text)
    open.push(c)
    return c
  }
  const head = `Host: x\r\nE2b-Sandbox-Id: ${s.sandboxId}\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: ${tokenOf(s)}\r\n`
  let slow
  await withVictim(t, 'R21', async () => {
    for (let i = 0; i < 300; i++) dial('')
    for (let i = 0; i < 100; i++) dial('GET /health HTTP/1.1\r\nHos')
    for (let i = 0; i < 100; i++) dial(`POST /files?path=/tmp/x HTTP/1.1\r\n${head}Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nx`)
    slow = Array.from({ length: 100 }, () => dial(`GET /files?path=/tmp/large HTTP/1.1\r\n${head}Range: bytes=0-,0-,0-,0-\r\n\r\n`).pause())
    for (let i = 0; i < 20; i++) {
      await sleep(150)
      for (const c of open.slice(300, 500)) if (!c.destroyed) c.write('x')
    }
  })
  assert.ok(slow.some((c) => !c.destroyed), 'the control: bad ones were connected throughout')
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
  const fresh = await Sandbox.create({ timeoutMs: 60_000 })
  assert.equal((await fresh.commands.run('echo works')).stdout, 'works\n')
  await fresh.kill()
})
