// SPDX-License-Identifier: Apache-2.0
// Attack (L12): have what one tenant configures end up in the sandbox that the pool gives to another.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { openSync, readSync, closeSync, readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { claim, Sandbox, http, into } from '../lib/sdk.mjs'
import { Instance } from '../lib/instance.mjs'
import { sandboxPids, until } from '../lib/host.mjs'
import { entries, poolNumbers } from '../lib/pool.mjs'

let i, opts
before(async () => {
  i = await Instance.start({ args: ['--pool-max', '3'] })
  opts = { ...i.sdk, timeoutMs: 120_000 }
})
after(() => i?.end())

// Is the word in the memory of any process of that sandbox, as the host can read it?
function isInMemory(id, word) {
  return sandboxPids(id).some((pid) => {
    const fd = openSync(`/proc/${pid}/mem`, 'r')
    try {
      return readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').some((line) => {
        const m = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line)
        if (!m) return false
        const [from, to] = [parseInt(m[1], 16), parseInt(m[2], 16)]
        const bytes = Buffer.alloc(Math.min(to - from, 64 << 20))
        try {
          return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from)).includes(word)
        } catch {
          return false // a guard page
        }
      })
    } finally {
      closeSync(fd)
    }
  })
}

claim('a ready sandbox holds no word of any tenant, and none of one tenant reaches another', async () => {
  const canary = randomBytes(12).toString('hex')
  const a = await Sandbox.create({ ...opts, envs: { POISON: canary, PATH: `/${canary}` , LD_PRELOAD: `/${canary}.so` }, metadata: { poison: canary } })
  assert.ok(isInMemory(a.sandboxId, canary), 'the control: it is found in the memory of its own envd')
  assert.ok(isInMemory(a.sandboxId, a.envdAccessToken), 'the control: so is the token')
  await until('the pool', 20000, async () => (await poolNumbers(i)).ready === 2)
  for (const id of await entries(i)) {
    assert.ok(!isInMemory(id, canary), 'a variable of a tenant in a ready sandbox')
    assert.ok(!isInMemory(id, a.envdAccessToken), 'a token of a tenant in a ready sandbox')
    // What has no token yet must not be told one by a client: no path leads there.
    assert.equal((await http('GET', '/envs', { url: i.url, headers: into(id, 49983) })).status, 502)
    const r = await http('POST', '/init', { url: i.url, headers: into(id, 49983), body: { envVars: { POISON: canary }, accessToken: 'theirs' } })
    assert.equal(r.json.message, 'this path is for the service itself')
  }
  const { hits_total: hits } = await poolNumbers(i)
  const b = await Sandbox.create(opts)
  assert.equal((await poolNumbers(i)).hits_total, hits + 1, 'it came from the pool')
  assert.ok(!isInMemory(b.sandboxId, canary))
  assert.notEqual(b.envdAccessToken, a.envdAccessToken)
  assert.equal((await b.commands.run('env | grep -c POISON || echo none')).stdout, '0\nnone\n')
  // Specialised once: neither the other's token nor none at all changes it again.
  for (const token of [a.envdAccessToken, undefined]) {
    const r = await http('POST', '/init', { url: i.url, headers: into(b, 49983, token ? { 'X-Access-Token': token } : {}), body: { envVars: { POISON: canary } } })
    assert.ok([401, 403, 404].includes(r.status), `${r.status} ${r.text}`)
  }
  assert.equal((await b.commands.run('env | grep -c POISON || echo none')).stdout, '0\nnone\n')
  assert.equal((await a.commands.run('/bin/echo "$POISON"', { envs: { PATH: '/usr/bin:/bin', LD_PRELOAD: '' } })).stdout, `${canary}\n`)
  await Promise.all([a.kill(), b.kill()])
})
