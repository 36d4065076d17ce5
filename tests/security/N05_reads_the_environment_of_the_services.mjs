// SPDX-License-Identifier: Apache-2.0
// Attack: look for what the services were started with: variables, arguments, open files.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { commandLine, exe, pids } from '../lib/host.mjs'

claim('no process inside has inherited a variable, an argument or a path of the services', async (t) => {
  const canary = 'environment-of-the-services' // run.mjs starts `firebreak up` with it
  const up = pids().find((p) => /firebreak$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_NAME))
  assert.ok(readFileSync(`/proc/${up}/environ`, 'latin1').includes(canary), 'the control: the services have it')
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const seen = (await s.commands.run('cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/mountinfo | tr "\\0" "\\n"; ls -l /proc/1/fd /proc/1/cwd /proc/1/root', { user: 'root' }).catch((e) => e)).stdout
  assert.match(seen, /^envd$/m, 'the control: process 1 is looked at')
  for (const word of [canary, process.env.FIREBREAK_T_DIR, process.env.FIREBREAK_T_NAME, process.env.E2B_API_KEY, s.envdAccessToken, 'FIREBREAK_'])
    assert.ok(!seen.includes(word), `found ${word}`)
})

claim('the access token is nowhere inside that user can read', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000, envs: { VISIBLE: 'visible-canary' } })
  t.after(() => s.kill())
  const look = (word) => s.commands.run(`env | grep -c ${word}; grep -rl ${word} /run /tmp /home /etc 2>/dev/null`).catch((e) => e)
  assert.match((await look('visible-canary')).stdout, /^1$/m, 'the control: a variable is found')
  const r = await look(s.envdAccessToken.slice(0, 20))
  assert.equal(r.stdout.trim(), '0')
})
