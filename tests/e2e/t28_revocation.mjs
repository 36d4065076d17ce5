// SPDX-License-Identifier: Apache-2.0
// A revoked credential: what it had open ends before the revocation is answered, and what its holder knew opens nothing any more. Events are waited
// for, not times: when the operator's request is answered, the server has no stream of the revoked one left (its own count says so).
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { request } from 'node:http'
import { claim, http, into, Sandbox } from '../lib/sdk.mjs'
import { Instance } from '../lib/instance.mjs'
import { admin, apiKey, bearer, claims, issueKey, revokeKey, tokenKey } from '../lib/identity.mjs'
import { until } from '../lib/host.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

const ask = (method, path, headers, body) => http(method, path, { url: i.url, headers, body })
const create = async (headers, body = {}) => {
  const r = await ask('POST', '/v2/sandboxes', headers, { templateID: 'base', timeout: 300, ...body })
  assert.equal(r.status, 201, r.text)
  return r.json
}
const relays = async () => Number(/^http_relays (\d+)$/m.exec((await http('GET', '/metrics', { url: i.url })).text)[1])

// A process that says something and then nothing for ever: {ended: a promise}.
async function stream(s) {
  const body = Buffer.from(JSON.stringify({ process: { cmd: '/bin/sh', args: ['-c', 'echo here; exec sleep 1000'] }, stdin: false }))
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  const { hostname, port } = new URL(i.url)
  return new Promise((begun, failed) => {
    const headers = into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken, 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1' })
    const r = request({ hostname, port, method: 'POST', path: '/process.Process/Start', headers, agent: false }, (answer) => {
      let text = ''
      const ended = new Promise((done) => answer.once('close', done))
      answer.on('error', () => {}) // cut in the middle: that is what is wanted
      answer.on('data', (d) => {
        text += d
        if (text.includes(Buffer.from('here\n').toString('base64'))) begun({ ended, status: answer.statusCode })
      })
    })
    r.on('error', failed)
    r.end(Buffer.concat([head, body]))
  })
}
const isRefused = async (s) => {
  const r = await ask('GET', '/files?path=/home/user/a', into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken }))
  assert.equal(r.status, 401, r.text)
  assert.equal((await ask('POST', '/process.Process/List', into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken, 'Content-Type': 'application/json' }), {})).status, 401)
}

// Whom to revoke, and how.
const kinds = {
  'an API key': async (owner) => {
    const k = await issueKey(i, { owner })
    return { headers: apiKey(k), revoke: () => revokeKey(i, k.id) }
  },
  'a token': async (owner) => {
    const k = await tokenKey(i, 'EdDSA')
    return { headers: bearer(k.make(claims(owner, { jti: `j-${k.kid}`, capabilities: ['execute:bash'] }))), revoke: () => admin(i, 'POST', '/admin/tokens/revoke', { jti: `j-${k.kid}` }) }
  },
  'all tokens of a user': async (owner) => {
    const k = await tokenKey(i, 'HS256')
    return { headers: bearer(k.make(claims(owner, { capabilities: ['execute:bash'] }))), revoke: () => admin(i, 'POST', '/admin/tokens/revoke', { user_id: owner }) }
  },
  'a key of tokens': async (owner) => {
    const k = await tokenKey(i, 'EdDSA')
    return { headers: bearer(k.make(claims(owner, { capabilities: ['execute:bash'] }))), revoke: () => admin(i, 'DELETE', `/admin/token-keys/${k.kid}`) }
  },
}
for (const [what, make] of Object.entries(kinds))
  claim(`R55 revoking ${what} ends its streams before it is answered, and its access tokens`, async () => {
    const owner = `owner-${Object.keys(kinds).indexOf(what)}`
    const { headers, revoke } = await make(owner)
    const own = await issueKey(i, { owner }) // another credential of the same owner
    const stranger = await issueKey(i, { owner: 'stranger' })
    const [mine, theirs, ofOwn] = [await create(headers), await create(apiKey(stranger)), await create(apiKey(own))]
    const streams = [await stream(mine), await stream(theirs), await stream(ofOwn)]
    await until('three streams', 5000, async () => (await relays()) === 3)
    await revoke()
    assert.equal(await relays(), 2)
    await streams[0].ended
    assert.equal((await ask('GET', '/v2/sandboxes', headers)).status, 401)
    await isRefused(mine)
    // The sandbox goes on, and its owner's other credential gets at it.
    const again = await ask('POST', `/sandboxes/${mine.sandboxID}/connect`, apiKey(own), { timeout: 60 })
    assert.equal(again.status, 200, again.text)
    assert.notEqual(again.json.envdAccessToken, mine.envdAccessToken)
    const s = await Sandbox.connect(mine.sandboxID, { ...i.sdk, apiKey: own.key })
    assert.equal((await s.commands.run('pgrep -c sleep')).stdout.trim(), '1')
    // Nobody else noticed.
    assert.equal(await relays(), 2)
    for (const t of [theirs, ofOwn])
      assert.equal((await ask('GET', '/files?path=/etc/hostname', into(t.sandboxID, 49983, { 'X-Access-Token': t.envdAccessToken }))).status, 200)
    for (const t of [mine, theirs, ofOwn]) await admin(i, 'DELETE', `/sandboxes/${t.sandboxID}?owners=all`)
    await Promise.all(streams.map((t) => t.ended))
  })

claim('R55 who was told an access token by connect or get loses it, too, and also after a restart of the API', async () => {
  const maker = await issueKey(i, { owner: 'two' })
  const other = await issueKey(i, { owner: 'two' })
  const s = await create(apiKey(maker))
  assert.equal((await ask('GET', `/sandboxes/${s.sandboxID}`, apiKey(other))).json.envdAccessToken, s.envdAccessToken)
  process.kill(i.daemon('e2b-sandbox'), 'SIGKILL')
  await until('the API to be back', 20000, () => i.isServing())
  assert.equal((await ask('GET', '/files?path=/etc/hostname', into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken }))).status, 200)
  await revokeKey(i, other.id)
  await isRefused(s)
  const again = await ask('POST', `/sandboxes/${s.sandboxID}/connect`, apiKey(maker), { timeout: 60 })
  process.kill(i.daemon('e2b-sandbox'), 'SIGKILL')
  await until('the API to be back', 20000, () => i.isServing())
  assert.equal((await ask('GET', '/files?path=/etc/hostname', into(s.sandboxID, 49983, { 'X-Access-Token': again.json.envdAccessToken }))).status, 200)
  assert.equal((await ask('GET', `/sandboxes/${s.sandboxID}`, apiKey(maker))).json.envdAccessToken, again.json.envdAccessToken)
  await ask('DELETE', `/sandboxes/${s.sandboxID}`, apiKey(maker))
})

claim('R55 a signed URL of before opens nothing afterwards', async () => {
  const maker = await issueKey(i, { owner: 'three' })
  const other = await issueKey(i, { owner: 'three' })
  const s = await Sandbox.create({ ...i.sdk, apiKey: maker.key })
  await s.files.write('/home/user/a', 'signed')
  const url = new URL(await s.downloadUrl('/home/user/a', { useSignatureExpiration: 60 }))
  const fetchIt = () => http('GET', url.pathname + url.search, { url: i.url })
  assert.equal((await fetchIt()).text, 'signed')
  await ask('GET', `/sandboxes/${s.sandboxId}`, apiKey(other))
  await revokeKey(i, maker.id)
  assert.equal((await fetchIt()).status, 401)
  await ask('DELETE', `/sandboxes/${s.sandboxId}`, apiKey(other))
})

claim('R55 a sandbox whose agent takes no other token is ended, so that the old one opens nothing', async () => {
  const k = await issueKey(i, { owner: 'four' })
  const s = await create(apiKey(k))
  const { isolation } = (await ask('GET', `/sandboxes/${s.sandboxID}`, apiKey(k))).json
  process.kill(isolation.agentPid, 'SIGSTOP') // it answers nobody any more
  await revokeKey(i, k.id)
  const r = await ask('GET', '/files?path=/etc/hostname', into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken }))
  assert.equal(r.status, 502, r.text)
  assert.equal((await admin(i, 'GET', `/sandboxes/${s.sandboxID}?owners=all`)).status, 404)
  assert.match(i.logText(), new RegExp(`event=sandbox_token_not_changed sandbox=${s.sandboxID}`))
})
