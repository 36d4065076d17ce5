// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, Sandbox, http, into } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

let s
before(async () => {
  s = await Sandbox.create({ timeoutMs: 300_000 })
})
after(() => s?.kill())

claim('a watched directory reports what happens in it, with names and kinds', async () => {
  await s.files.makeDir('/home/user/watched')
  const events = []
  const handle = await s.files.watchDir('/home/user/watched', (e) => events.push(`${e.type} ${e.name}`))
  await s.files.write('/home/user/watched/a', 'x')
  await s.commands.run('cd watched && chmod 600 a && mv a b && rm b')
  await until(`the events, got ${events}`, 5000, () => events.includes('remove b'))
  for (const e of ['create a', 'write a', 'chmod a', 'rename a', 'create b', 'remove b']) assert.ok(events.includes(e), `${e} is missing in ${events}`)
  await handle.stop()
  const n = events.length
  await s.commands.run('touch watched/after')
  await sleep(300)
  assert.equal(events.length, n)
})

claim('a recursive watch sees directories made later', async () => {
  await s.files.makeDir('/home/user/tree')
  const names = new Set()
  const handle = await s.files.watchDir('/home/user/tree', (e) => names.add(e.name), { recursive: true })
  await s.commands.run('mkdir -p tree/one/two && sleep 0.2 && touch tree/one/two/deep')
  await until(`one/two/deep among ${[...names]}`, 5000, () => names.has('one/two/deep'))
  await handle.stop()
})

claim('watching a missing directory or a file is refused', async () => {
  await assert.rejects(s.files.watchDir('/home/user/absent', () => {}))
  await s.files.write('/home/user/plain', 'x')
  await assert.rejects(s.files.watchDir('/home/user/plain', () => {}))
})

// The URL of the SDK, sent as a third party would: by host name, with no header of E2B.
const fetchSigned = (url, method = 'GET', options = {}) => {
  const u = new URL(url)
  return http(method, u.pathname + u.search, { ...options, headers: { Host: `49983-${s.sandboxId}.sandbox.test`, ...options.headers } })
}

claim('a signed URL reads one file without any header, and only that one', async () => {
  await s.files.write('/home/user/signed file.txt', 'signed')
  await s.files.write('/home/user/other', 'other')
  const url = await s.downloadUrl('/home/user/signed file.txt', { user: 'user' })
  const r = await fetchSigned(url)
  assert.equal(r.status, 200, r.text)
  assert.equal(r.text, 'signed')
  const forged = new URL(url)
  forged.searchParams.set('path', '/home/user/other')
  const bad = await fetchSigned(forged.href)
  assert.equal(bad.status, 401)
  assert.deepEqual(bad.json, { code: 401, message: 'invalid signature' })
  assert.equal((await fetchSigned(url, 'POST', { body: 'x', headers: { 'Content-Type': 'application/octet-stream' } })).status, 401, 'a signature for reading must not write')
})

claim('a signed URL ends when it says', async () => {
  const url = await s.downloadUrl('/home/user/other', { user: 'user', useSignatureExpiration: 1 })
  assert.equal((await fetchSigned(url)).status, 200)
  await sleep(2100)
  const r = await fetchSigned(url)
  assert.equal(r.status, 401)
  assert.deepEqual(r.json, { code: 401, message: 'signature is already expired' })
})

claim('a signed URL for upload takes a file', async () => {
  const url = await s.uploadUrl('/home/user/uploaded', { user: 'user' })
  const r = await fetchSigned(url, 'POST', { body: 'by a third party', headers: { 'Content-Type': 'application/octet-stream' } })
  assert.equal(r.status, 200, r.text)
  assert.equal(await s.files.read('/home/user/uploaded'), 'by a third party')
})
