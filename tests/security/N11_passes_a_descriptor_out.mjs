// SPDX-License-Identifier: Apache-2.0
// Attack: send a descriptor to a service over a Unix socket that they and the sandbox share.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { exe, commandLine, pids, sandboxPids, status } from '../lib/host.mjs'

// Unix sockets of a network namespace, as numbers.
const unixSockets = (pid) => new Set(readFileSync(`/proc/${pid}/net/unix`, 'utf8').trim().split('\n').slice(1).map((l) => l.split(/\s+/)[6]))
const sockets = (pid) => readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
  } catch {
    return []
  }
})

claim('what process 1 shares with the outside are TCP sockets, which carry bytes and no descriptors', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  // Control: this way of looking finds a Unix socket, of the warden.
  const warden = pids().find((p) => /\/warden$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  assert.ok(sockets(warden).some((n) => unixSockets(warden).has(n)), 'the control')
  await s.commands.run('sleep 30', { background: true })
  const agent = sandboxPids(s.sandboxId).find((p) => status(p)?.Name === 'envd')
  const tcp = readFileSync(`/proc/${agent}/net/tcp`, 'utf8') + readFileSync(`/proc/${agent}/net/tcp6`, 'utf8')
  const own = unixSockets(agent)
  const open = sockets(agent)
  assert.ok(open.length >= 1)
  for (const n of open) {
    const isTcp = tcp.split('\n').some((l) => l.trim().split(/\s+/)[9] === n)
    // Its own server for sudo was made in the sandbox's namespace: nobody outside has the other end.
    assert.ok(isTcp || own.has(n), `socket ${n} is neither TCP nor of the sandbox's own`)
  }
  for (const p of sandboxPids(s.sandboxId).filter((q) => q !== agent && /jailmon/.test(status(q)?.Name ?? '')))
    for (const n of sockets(p)) assert.ok(!own.has(n), 'the monitor holds a Unix socket of the sandbox')
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
