// SPDX-License-Identifier: Apache-2.0
// Two instances on one machine: what would mix them is refused, by the name of what is shared.
import { test, before, after } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instance, program } from '../lib/instance.mjs'

let i, dir
before(async () => {
  i = await Instance.start()
  dir = mkdtempSync(join(tmpdir(), 'firebreak-second-'))
})
after(async () => {
  await i.end()
  rmSync(dir, { recursive: true })
})

const up = (...args) =>
  spawnSync(program('firebreak'), ['up', '--instance', `${i.name}x`, '--listen', '127.0.0.1:0', '--run', join(dir, 'run'), ...args], { encoding: 'utf8', timeout: 30000 })

test('a place that the API cannot walk to is refused, and says so', () => {
  const r = up('--state', join(dir, 'state'), '--uid-base', '3758096384')
  assert.equal(r.status, 1)
  assert.match(r.stderr, /uid 65532, which the API runs as, cannot reach .*: Permission denied/)
  chmodSync(dir, 0o755)
})

test('the same host uids are refused, and the other instance is named', () => {
  const r = up('--state', join(dir, 'state'), '--uid-base', String(i.uidBase + 65536))
  assert.equal(r.status, 1)
  assert.match(r.stderr, new RegExp(`instance '${i.name}' uses the host uids ${i.uidBase} to`))
  assert.match(r.stderr, /--uid-base/)
})

test('the same state directory is refused', () => {
  const r = up('--state', i.state, '--uid-base', '3758096384')
  assert.equal(r.status, 1)
  assert.match(r.stderr, /another instance keeps its sandboxes in/)
  assert.match(r.stderr, /--state/)
})

test('a port in use is refused before anything is made', () => {
  const r = up('--state', join(dir, 'other'), '--listen', `127.0.0.1:${i.port}`)
  assert.equal(r.status, 1)
  assert.match(r.stderr, /Address already in use/)
  assert.ok(!existsSync(join(dir, 'other')))
})

test('the first one serves as before', async () => {
  assert.ok(await i.isServing())
  assert.equal(i.cli(['run', '--lang', 'bash', '-c', 'echo fine']).stdout, 'fine\n')
})
