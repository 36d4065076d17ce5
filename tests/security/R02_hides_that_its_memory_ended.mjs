// SPDX-License-Identifier: Apache-2.0
// Attack: use up my memory so that it looks like a mistake of the program, or of the service, and of somebody else's.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { api, claim, Sandbox } from '../lib/sdk.mjs'
import { isAlive, monitorPid } from '../lib/host.mjs'
import { withVictim } from '../lib/victim.mjs'

const kills = async (s) => (await api('GET', `/sandboxes/${s.sandboxId}`)).json.isolation.oomKills
const available = () => Number(/MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))[1])

claim('the kernel ends a process of the sandbox, the API counts it, and the host keeps its memory', { timeout: 120_000 }, async (t) => {
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  writeFileSync(join(store, 'forgetful.json'), JSON.stringify({ ...JSON.parse(readFileSync(join(store, 'base.json'), 'utf8')), name: 'forgetful', aliases: [], memoryMB: 512 }), { mode: 0o644 })
  t.after(() => rmSync(join(store, 'forgetful.json')))
  const s = await Sandbox.create('forgetful', { timeoutMs: 120_000 })
  t.after(() => s.kill().catch(() => {}))
  const monitor = monitorPid(s.sandboxId)
  assert.equal(await kills(s), 0, 'the control: none yet')
  assert.equal((await s.commands.run('exit 137').catch((e) => e)).exitCode, 137)
  assert.equal(await kills(s), 0, 'a program that says 137 is not taken for one that was killed')
  let least = available()
  const look = setInterval(() => { least = Math.min(least, available()) }, 50)
  const ended = await withVictim(t, 'R02', () => s.commands.run('python3 -c "x = []\nwhile True: x.append(bytearray(b\'x\' * (16 << 20)))"', { timeoutMs: 60_000 }).catch((e) => e))
  clearInterval(look)
  assert.match(ended.error ?? ended.message, /kill/i, `it ended otherwise: ${ended}`)
  assert.ok((await kills(s)) >= 1, 'the end by memory was not counted')
  assert.ok(least > 1 << 20, `the host was down to ${least} KiB`)
  assert.ok(isAlive(monitor))
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
