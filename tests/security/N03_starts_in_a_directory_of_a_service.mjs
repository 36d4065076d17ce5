// SPDX-License-Identifier: Apache-2.0
// Attack: have a program started in a directory that is an open descriptor of whoever starts it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { claim, Sandbox } from '../lib/sdk.mjs'

claim('no descriptor of process 1 or of a new process leads a working directory out', async (t) => {
  const dir = mkdtempSync('/var/tmp/firebreak-leak-')
  t.after(() => rmSync(dir, { recursive: true }))
  writeFileSync(`${dir}/of-the-host`, '')
  // Control: a directory that was left open is a working directory by its number, outside.
  assert.match(execFileSync('sh', ['-c', `exec 9<${dir}; cd /proc/self/fd/9 && ls`], { encoding: 'utf8' }), /of-the-host/)
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const inside = (await s.commands.run('pwd -P; ls /', { cwd: '/tmp', user: 'root' })).stdout
  assert.match(inside, /^\/tmp\n/, 'the control: a directory is taken')
  let tried = 0
  for (const whose of ['self', '1', 'thread-self'])
    for (let fd = 0; fd < 24; fd++) {
      const r = await s.commands.run('pwd -P; ls -a; ls -a ../../../../../..', { cwd: `/proc/${whose}/fd/${fd}`, user: 'root' }).catch((e) => e)
      tried++
      if (r.exitCode === undefined) continue // refused before it started
      assert.doesNotMatch(`${r.stdout}${r.stderr}`, /of-the-host|unreachable/, `${whose} ${fd}`)
      assert.match(r.stdout, /^\/[^\n]*\n/, `${whose} ${fd}: ${r.stdout}`)
    }
  assert.equal(tried, 72)
  for (const cwd of ['/proc/1/cwd', '/proc/1/root', '/proc/self/root/..']) {
    const r = await s.commands.run('ls -a /proc/self/cwd/; ls -a ../../..', { cwd, user: 'root' }).catch((e) => e)
    assert.doesNotMatch(`${r.stdout ?? ''}`, /of-the-host|vmlinuz|initrd/, cwd)
  }
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
