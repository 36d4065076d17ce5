// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { claim, Sandbox, http, api } from '../lib/sdk.mjs'
import { pids, exe, commandLine, status } from '../lib/host.mjs'

claim('/metrics is valid for promtool and counts sandboxes', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  try {
    const r = await http('GET', '/metrics')
    assert.equal(r.status, 200)
    assert.match(r.headers['content-type'], /^text\/plain; version=0\.0\.4/)
    const check = spawnSync('promtool', ['check', 'metrics'], { input: r.text, encoding: 'utf8' })
    assert.equal(check.error, undefined, 'promtool is missing: run tools/install-deps.sh')
    assert.equal(check.status, 0, check.stderr + check.stdout)
    assert.match(r.text, /^firebreak_\w*sandboxes\w*(\{[^}]*\})? [1-9]/m)
    assert.doesNotMatch(r.text, new RegExp(s.sandboxId), 'a label that grows with every sandbox')
  } finally {
    await s.kill()
  }
})

claim('what clients send cannot make metrics grow', async () => {
  const lines = async () => (await http('GET', '/metrics')).text.split('\n').length
  const before = await lines()
  for (let i = 0; i < 30; i++) await api('GET', `/sandboxes/i${String(i).padStart(19, '0')}`)
  for (let i = 0; i < 30; i++) await api('GET', `/made/up/${i}`)
  assert.ok((await lines()) - before < 30)
})

claim('logs are one line per event and hold no key and no token', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  await s.commands.run('true')
  await api('GET', '/x%0Alevel=error%20msg=forged', { headers: { 'User-Agent': 'a\tb' } })
  await s.kill()
  const log = readFileSync(process.env.FIREBREAK_T_LOG, 'utf8')
  assert.ok(!log.includes(process.env.E2B_API_KEY) || log.indexOf(process.env.E2B_API_KEY) === log.lastIndexOf(process.env.E2B_API_KEY), 'the key is printed once at the first start, for the user, and never again')
  assert.ok(!log.includes(s.envdAccessToken))
  assert.doesNotMatch(log, /^level=error msg=forged/m)
})

claim('the key is readable by root only, and the database holds no plain key', () => {
  const state = process.env.FIREBREAK_T_STATE
  assert.equal(statSync(join(state, 'api.key')).mode & 0o777, 0o600)
  assert.equal(statSync(join(state, 'db')).mode & 0o777, 0o700)
  for (const f of readdirSync(join(state, 'db'))) assert.ok(!readFileSync(join(state, 'db', f)).includes(process.env.E2B_API_KEY), f)
})

claim('the exposed service has no privilege: own uid, no group, no capability, no_new_privs', () => {
  const pid = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const s = status(pid)
  assert.deepEqual(s.Uid, [65532, 65532, 65532, 65532])
  assert.ok(s.Gid.every((g) => g !== 0))
  assert.equal(s.Groups, '')
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.equal(BigInt(`0x${s[set]}`), 0n, set)
  assert.equal(s.NoNewPrivs, '1')
  assert.ok(!commandLine(pid).some((a) => a.includes(process.env.E2B_API_KEY)))
})
