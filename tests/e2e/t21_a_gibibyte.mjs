// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { pids, exe, commandLine } from '../lib/host.mjs'

const GIB = 1 << 30
const CHUNK = 1 << 20
// Each MiB differs, so that a lost, doubled or swapped one shows.
const pattern = Buffer.alloc(CHUNK, 'firebreak')
const chunkAt = (i) => {
  const c = Buffer.from(pattern)
  c.writeUInt32LE(i, 0)
  return c
}
const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

claim('1 GiB streams in and out unchanged, and the service does not grow by it', { timeout: 180000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 300_000 })
  t.after(() => s.kill())
  const api = pids().find((p) => /e2b-sandbox$/.test(exe(p)) && commandLine(p).includes(process.env.FIREBREAK_T_RUN))
  const before = rss(api)
  let most = before
  const watch = setInterval(() => (most = Math.max(most, rss(api))), 100)
  const sent = createHash('sha256')
  let i = 0
  const body = new ReadableStream({
    pull(c) {
      if (i === GIB / CHUNK) return c.close()
      const chunk = chunkAt(i++)
      sent.update(chunk)
      c.enqueue(chunk)
    },
  }, { highWaterMark: 4 })
  await s.files.write('/home/user/gib', body, { useOctetStream: true, requestTimeoutMs: 120000 })
  assert.equal((await s.files.getInfo('/home/user/gib')).size, GIB)
  const got = createHash('sha256')
  let n = 0
  for await (const chunk of await s.files.read('/home/user/gib', { format: 'stream', requestTimeoutMs: 120000 })) {
    n += chunk.length
    got.update(chunk)
  }
  clearInterval(watch)
  assert.equal(n, GIB)
  assert.equal(got.digest('hex'), sent.digest('hex'))
  assert.ok(most - before < 32 * 1024, `e2b-sandbox grew from ${before} to ${most} KiB`)
})
