// SPDX-License-Identifier: Apache-2.0
// Attack, by an ordinary user of the host: put links, pipes and sockets where the services will make or read their files.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { program } from '../lib/instance.mjs'

const { FIREBREAK_T_STATE: state, FIREBREAK_T_RUN: run } = process.env
const asNobody = (command) => spawnSync('setpriv', ['--reuid', '65534', '--regid', '65534', '--clear-groups', 'sh', '-c', command], { encoding: 'utf8' })

claim('nobody can make, link, read or connect anything in the directories of an instance', async (t) => {
  const dir = mkdtempSync('/var/tmp/firebreak-trap-')
  t.after(() => rmSync(dir, { recursive: true }))
  chmodSync(dir, 0o777)
  assert.equal(asNobody(`ln -s /etc/passwd ${dir}/link && mkfifo ${dir}/pipe`).status, 0, 'the control: in a directory that is open it works')
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  const before = [state, join(state, 'templates'), run].map((d) => readdirSync(d).sort().join())
  for (const d of [state, join(state, 'templates'), run, join(run, 'sb'), join(run, 'mnt')])
    for (const attack of [`ln -s /etc/passwd ${d}/trap`, `mkfifo ${d}/trap`, `mkdir ${d}/trap`, `touch ${d}/trap`, `mv ${d} ${d}.old`]) {
      const r = asNobody(attack)
      assert.notEqual(r.status, 0, attack)
      assert.match(r.stderr, /Permission denied|Operation not permitted/, `${attack}: ${r.stderr}`)
    }
  for (const secret of [join(state, 'api.key'), join(state, 'firebreak.db')]) assert.match(asNobody(`cat ${secret}`).stderr, /Permission denied|No such file/, secret)
  assert.match(asNobody(`cat ${join(state, 'api.key')}`).stderr, /Permission denied/)
  const connects = asNobody(`python3 -c "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('${join(run, 'warden.sock')}')"`)
  assert.match(connects.stderr, /PermissionError/, 'nobody reaches the warden')
  assert.deepEqual([state, join(state, 'templates'), run].map((d) => readdirSync(d).sort().join()), before)
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})

claim('an instance whose directory was prepared by somebody else does not start on it', async (t) => {
  const dir = mkdtempSync('/var/tmp/firebreak-trap-')
  t.after(() => rmSync(dir, { recursive: true }))
  chmodSync(dir, 0o755)
  const target = join(dir, 'target')
  mkdirSync(target)
  writeFileSync(join(target, 'precious'), 'untouched')
  const start = (stateDir, runDir) => spawnSync(program('firebreak'), ['up', '--instance', 'trap', '--state', stateDir, '--run', runDir, '--listen', '127.0.0.1:0'], { encoding: 'utf8', timeout: 4000, killSignal: 'SIGINT', env: { PATH: process.env.PATH } })
  const print = () => JSON.stringify([readFileSync(join(target, 'precious'), 'utf8'), readdirSync(target), lstatSync(target).mode, lstatSync(target).uid])
  const before = print()
  symlinkSync(target, join(dir, 'run-link'))
  mkdirSync(join(dir, 'foreign'), 0o700)
  spawnSync('chown', ['65534:65534', join(dir, 'foreign')])
  mkdirSync(join(dir, 'open'))
  chmodSync(join(dir, 'open'), 0o777)
  for (const [name, what] of [['run-link', 'a link'], ['foreign', 'a directory of nobody'], ['open', 'a directory open to all']]) {
    const r = start(join(dir, `state-${name}`), join(dir, name))
    assert.notEqual(r.status, 0, `it started with ${what} as its run directory: ${r.stdout}${r.stderr}`)
    assert.equal(r.error, undefined, `it started with ${what} as its run directory: ${r.stdout}${r.stderr}`)
  }
  assert.equal(print(), before)
})
