// SPDX-License-Identifier: Apache-2.0
// Who asks, and whose it is: API keys, tokens, owners, capabilities. The requirements' numbers stand in the names.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { claim, http, into, Sandbox, e2b } from '../lib/sdk.mjs'
import { start } from '../lib/start.mjs'
import { Instance } from '../lib/instance.mjs'
import { admin, apiKey, bearer, claims, issueKey, nowS, revokeKey, signed, tokenKey } from '../lib/identity.mjs'

let i, hs, ed
before(async () => {
  i = await Instance.start()
  hs = await tokenKey(i, 'HS256')
  ed = await tokenKey(i, 'EdDSA')
})
after(() => i?.end())

const ask = (method, path, headers, body) => http(method, path, { url: i.url, headers, body })
const create = async (headers, body = {}) => {
  const r = await ask('POST', '/v2/sandboxes', headers, { templateID: 'base', timeout: 300, ...body })
  assert.equal(r.status, 201, r.text)
  return r.json
}
const isMissing = (r, id) => {
  assert.equal(r.status, 404, r.text)
  assert.equal(r.json.message, `Sandbox "${id}" doesn't exist or you don't have access to it`)
}
const list = async (headers, query = '') => {
  const r = await ask('GET', `/v2/sandboxes${query}`, headers)
  assert.equal(r.status, 200, r.text)
  return { ids: r.json.map((s) => s.sandboxID), total: Number(r.headers['x-total-running']), rows: r.json }
}
const unknown = 'i0000000000000000000'
const byId = [['GET', ''], ['DELETE', ''], ['POST', '/timeout', { timeout: 10 }], ['POST', '/refreshes', { duration: 10 }], ['POST', '/connect', { timeout: 10 }],
  ['PUT', '/network', {}], ['GET', '/metrics']]

claim('R57 an issued key works in the unmodified SDK, and is stored as a digest only', async () => {
  const k = await issueKey(i, { name: 'ci', owner: 'team-a' })
  assert.match(k.key, /^e2b_[0-9a-f]{40}$/)
  const s = await Sandbox.create({ ...i.sdk, apiKey: k.key })
  assert.equal((await s.commands.run('echo hi')).stdout, 'hi\n')
  assert.equal((await Sandbox.getInfo(s.sandboxId, { ...i.sdk, apiKey: k.key })).sandboxId, s.sandboxId)
  await s.kill()
  const keys = (await admin(i, 'GET', '/admin/keys')).text
  assert.ok(keys.includes(k.id) && !keys.includes(k.key.slice(4)), keys)
  for (const f of readdirSync(join(i.state, 'db'))) assert.ok(!readFileSync(join(i.state, 'db', f)).includes(k.key.slice(4)), f)
  assert.ok(!i.logText().includes(k.key.slice(4)))
})

claim('R57 the key of the installation is the default owner\'s and an operator\'s', async () => {
  const s = await create(apiKey(i.key))
  const info = (await ask('GET', `/sandboxes/${s.sandboxID}`, apiKey(i.key))).json
  assert.equal(info.owner, 'default')
  const [k] = (await admin(i, 'GET', '/admin/keys')).json.filter((x) => x.name === 'bootstrap')
  assert.deepEqual([k.owner, k.capabilities, k.expiresAt, k.state], ['default', ['*', 'admin'], null, 'valid'])
  assert.equal((await admin(i, 'DELETE', `/admin/keys/${k.id}`)).status, 409)
  await ask('DELETE', `/sandboxes/${s.sandboxID}`, apiKey(i.key))
})

claim('R57 a foreign sandbox answers on every path as an unknown one does, byte for byte', async () => {
  const a = await issueKey(i, { owner: 'team-a' })
  const b = await issueKey(i, { owner: 'team-b' })
  const { sandboxID } = await create(apiKey(a))
  for (const [method, path, body] of byId) {
    const foreign = await ask(method, `/sandboxes/${sandboxID}${path}`, apiKey(b), body)
    const none = await ask(method, `/sandboxes/${unknown}${path}`, apiKey(b), body)
    isMissing(foreign, sandboxID)
    assert.equal(foreign.text.replaceAll(sandboxID, unknown), none.text)
    const heads = [foreign, none].map((r) => ({ ...r.headers, date: '' }))
    assert.deepEqual(heads[0], heads[1])
  }
  assert.equal((await ask('GET', `/sandboxes/${sandboxID}`, apiKey(a))).status, 200)
  await ask('DELETE', `/sandboxes/${sandboxID}`, apiKey(a))
  // How it ended is its owner's to know.
  assert.match((await ask('GET', `/sandboxes/${sandboxID}`, apiKey(a))).json.message, /it ended at .*killed/)
  isMissing(await ask('GET', `/sandboxes/${sandboxID}`, apiKey(b)), sandboxID)
})

claim('R57 a list shows one\'s own; an operator sees all if he says so', async () => {
  const a = await issueKey(i, { owner: 'team-a' })
  const b = await issueKey(i, { owner: 'team-b' })
  const made = [await create(apiKey(a)), await create(apiKey(b)), await create(apiKey(b))].map((s) => s.sandboxID)
  assert.deepEqual((await list(apiKey(a))).ids, made.slice(0, 1))
  assert.equal((await list(apiKey(a))).total, 1)
  assert.deepEqual((await list(apiKey(b))).ids.sort(), made.slice(1).sort())
  assert.deepEqual((await list(apiKey(i.key))).ids, [])
  const all = await list(apiKey(i.key), '?owners=all')
  assert.deepEqual(all.ids.sort(), [...made].sort())
  assert.deepEqual(new Set(all.rows.map((r) => r.owner)), new Set(['team-a', 'team-b']))
  for (const path of ['/v2/sandboxes', '/sandboxes', '/api/sandboxes', `/sandboxes/${made[1]}`]) {
    const r = await ask('GET', `${path}?owners=all`, apiKey(a))
    assert.deepEqual([r.status, r.json.error_code], [403, 'insufficient_capability'])
    assert.equal((await ask('GET', `${path}?owners=x`, apiKey(i.key))).status, 400)
  }
  isMissing(await ask('DELETE', `/sandboxes/${made[0]}`, apiKey(i.key)), made[0])
  for (const id of made) assert.equal((await ask('DELETE', `/sandboxes/${id}?owners=all`, apiKey(i.key))).status, 204)
})

claim('R57 whose a sandbox is survives the death of the API, as keys, tokens and revocations do', async () => {
  const a = await issueKey(i, { owner: 'team-a' })
  const gone = await issueKey(i, { owner: 'team-a' })
  const { sandboxID } = await create(apiKey(a))
  const good = ed.make(claims('team-a', { jti: 'j-good', capabilities: [] }))
  const bad = ed.make(claims('team-a', { jti: 'j-bad' }))
  await revokeKey(i, gone.id)
  assert.equal((await admin(i, 'POST', '/admin/tokens/revoke', { jti: 'j-bad' })).status, 204)
  process.kill(i.daemon('e2b-sandbox'), 'SIGKILL')
  for (let n = 0; n < 500 && !(await i.isServing()); n++) await new Promise((done) => setTimeout(done, 20))
  assert.equal((await ask('GET', `/sandboxes/${sandboxID}`, apiKey(a))).json.owner, 'team-a')
  isMissing(await ask('GET', `/sandboxes/${sandboxID}`, apiKey(i.key)), sandboxID)
  assert.equal((await ask('GET', '/v2/sandboxes', apiKey(gone))).status, 401)
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(good))).status, 200)
  assert.match((await ask('GET', '/v2/sandboxes', bearer(bad))).json.message, /revoked/)
  await ask('DELETE', `/sandboxes/${sandboxID}`, apiKey(a))
})

claim('R43 a token opens only under the algorithm of its key', async () => {
  const good = hs.make(claims('user-123'), { alg: 'HS256', typ: 'JWT' })
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(good))).status, 200)
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(ed.make(claims('user-123'))))).status, 200)
  const tries = [
    hs.make(claims('u'), { alg: 'none' }), hs.make(claims('u'), { alg: 'HS512' }), hs.make(claims('u'), { alg: 'RS256' }), hs.make(claims('u'), { typ: 'JWT' }),
    hs.make(claims('u'), { alg: 'HS256', crit: ['exp'] }), hs.make(claims('u'), { alg: 'HS256', kid: ed.kid }), ed.make(claims('u'), { alg: 'HS256', kid: ed.kid }),
    good.replace(/[^.]*$/, ''), `${good}A`, good.slice(0, -1), signed('HS256', 'x'.repeat(64), { alg: 'HS256' }, claims('u')),
    // The same member twice, which JSON.stringify cannot write.
    signed('HS256', 'x', '{"alg":"HS256","alg":"HS256"}', claims('u')),
  ]
  for (const t of tries) {
    const r = await ask('GET', '/v2/sandboxes', bearer(t))
    assert.equal(r.status, 401, t)
    assert.match(r.headers['www-authenticate'], /^Bearer/)
  }
})

claim('R44 a token without a user id that is an id opens nothing', async () => {
  for (const id of ['', 'a'.repeat(129), 'a\nb', 'me@example.org', 'John Doe', 7, null, undefined])
    assert.equal((await ask('GET', '/v2/sandboxes', bearer(hs.make(claims(id))))).status, 401, String(id))
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(hs.make(claims('a'.repeat(128)))))).status, 200)
})

claim('R45 R46 a token lives an hour at most, and only between its times', async () => {
  const t = nowS()
  for (const [iat, exp] of [[t, t + 3601], [t, t + 86400], [t - 4000, t - 400], [t - 4000, t - 60], [t + 120, t + 600], [t, undefined], [undefined, t + 60], [t, t], [t, t + 60.5]])
    assert.equal((await ask('GET', '/v2/sandboxes', bearer(hs.make(claims('u', { iat, exp }))))).status, 401, `${iat - t} ${exp - t}`)
  for (const [iat, exp] of [[t, t + 3600], [t - 3000, t + 600], [t + 5, t + 600]])
    assert.equal((await ask('GET', '/v2/sandboxes', bearer(hs.make(claims('u', { iat, exp }))))).status, 200)
})

claim('R47 what a token may not do is 403 insufficient_capability', async () => {
  const refused = async (token, method, path, body) => {
    const r = await ask(method, path, bearer(token), body)
    assert.deepEqual([r.status, r.json.error_code, r.json.code], [403, 'insufficient_capability', 403], r.text)
  }
  const nothing = ed.make(claims('user-1', { capabilities: [] }))
  await refused(nothing, 'POST', '/v2/sandboxes', { templateID: 'base' })
  await refused(nothing, 'POST', '/sandboxes', { templateID: 'base' })
  await refused(ed.make(claims('user-1', { capabilities: ['execute:*', '*', 'fly'] })), 'POST', '/v2/sandboxes', { templateID: 'base' })
  const python = ed.make(claims('user-1', { capabilities: ['execute:python'] }))
  for (const [method, path] of [['GET', '/admin/keys'], ['POST', '/admin/keys'], ['GET', '/admin/tokens'], ['GET', '/v2/sandboxes?owners=all']]) await refused(python, method, path, method === 'POST' ? {} : undefined)
  assert.equal((await ask('GET', '/admin/keys', bearer(ed.make(claims('op', { capabilities: ['admin'] }))))).status, 200)
  await refused(ed.make(claims('op', { capabilities: ['admin'] })), 'POST', '/v2/sandboxes', { templateID: 'base' })
})

claim('R47 a token for Python alone starts no process through envd, whoever holds the access token', async () => {
  const python = bearer(ed.make(claims('user-2', { capabilities: ['execute:python'] })))
  const s = await create(python)
  for (const path of ['/process.Process/Start', '/process.Process/List', '/process%2eProcess/Start', '//process.Process/Start']) {
    const r = await ask('POST', path, into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken, 'Content-Type': 'application/json' }), {})
    assert.deepEqual([r.status, r.json.error], [403, 'insufficient_capability'], `${path}: ${r.text}`)
  }
  // Files it has, and the same sandbox is its owner's other credentials' as well, with no more rights.
  const file = await ask('POST', '/files?path=/home/user/a', into(s.sandboxID, 49983, { 'X-Access-Token': s.envdAccessToken, 'Content-Type': 'application/octet-stream' }), 'x')
  assert.equal(file.status, 200, file.text)
  const all = await issueKey(i, { owner: 'user-2' })
  const again = await ask('POST', `/sandboxes/${s.sandboxID}/connect`, apiKey(all), { timeout: 60 })
  assert.equal(again.status, 200, again.text)
  await assert.rejects(start(i, again.json.sandboxID ? { sandboxId: s.sandboxID, envdAccessToken: again.json.envdAccessToken } : s, { cmd: '/bin/true' }), /403/)
  await ask('DELETE', `/sandboxes/${s.sandboxID}`, python)
  const bash = bearer(ed.make(claims('user-2', { capabilities: ['execute:bash'] })))
  const t = await create(bash)
  assert.equal((await start(i, { sandboxId: t.sandboxID, envdAccessToken: t.envdAccessToken }, { cmd: '/bin/echo', args: ['hi'] })).stdout.toString(), 'hi\n')
  await ask('DELETE', `/sandboxes/${t.sandboxID}`, bash)
})

claim('R47 a scoped credential does not see what its owner\'s wider one has made', async () => {
  const wide = await issueKey(i, { owner: 'user-3' })
  const python = bearer(ed.make(claims('user-3', { capabilities: ['execute:python'] })))
  const { sandboxID } = await create(apiKey(wide))
  for (const [method, path, body] of byId) isMissing(await ask(method, `/sandboxes/${sandboxID}${path}`, python, body), sandboxID)
  assert.deepEqual((await list(python)).ids, [])
  const own = await create(python)
  assert.deepEqual((await list(python)).ids, [own.sandboxID])
  assert.equal((await list(apiKey(wide))).total, 2)
  for (const id of [sandboxID, own.sandboxID]) await ask('DELETE', `/sandboxes/${id}`, apiKey(wide))
})

claim('R38 asking for a network without network:egress is 403', async () => {
  const python = bearer(ed.make(claims('user-4', { capabilities: ['execute:python'] })))
  const r = await ask('POST', '/v2/sandboxes', python, { templateID: 'base', network: { allowOut: ['1.1.1.1'] } })
  assert.deepEqual([r.status, r.json.error_code], [403, 'insufficient_capability'], r.text)
  const s = await create(python)
  const put = await ask('PUT', `/sandboxes/${s.sandboxID}/network`, python, { allowOut: ['1.1.1.1'] })
  assert.deepEqual([put.status, put.json.error_code], [403, 'insufficient_capability'], put.text)
  // Nor may the owner's wider key give the narrower one's sandbox what that may not have.
  const wide = await issueKey(i, { owner: 'user-4' })
  const wider = await ask('PUT', `/sandboxes/${s.sandboxID}/network`, apiKey(wide), { allowOut: ['1.1.1.1'] })
  assert.equal(wider.json.error_code, 'insufficient_capability', wider.text)
  await ask('DELETE', `/sandboxes/${s.sandboxID}`, python)
  // With it, the question is the operator's alone: this instance gives no network.
  const egress = bearer(ed.make(claims('user-4', { capabilities: ['execute:python', 'network:egress'] })))
  const q = await ask('POST', '/v2/sandboxes', egress, { templateID: 'base', network: { allowOut: ['1.1.1.1'] } })
  assert.equal(q.json.error_code, 'network_not_allowed', q.text)
})

claim('R37 R38 on a server that gives networks, a credential without network:egress gets none, and is told so', async (t) => {
  const j = await Instance.start({ args: ['--internet', 'allow'] })
  t.after(() => j.end())
  const k = await tokenKey(j, 'EdDSA')
  const call = (method, path, headers, body) => http(method, path, { url: j.url, headers, body })
  const make = (caps, body) => call('POST', '/v2/sandboxes', bearer(k.make(claims('net', { capabilities: caps }))), { templateID: 'base', timeout: 60, ...body })
  const internet = async (caps, r) => {
    assert.equal(r.status, 201, r.text)
    const info = (await call('GET', `/sandboxes/${r.json.sandboxID}`, bearer(k.make(claims('net', { capabilities: caps }))))).json
    return [info.allowInternetAccess, info.isolation.network]
  }
  const python = ['execute:python'], egress = ['execute:python', 'network:egress']
  for (const body of [{ allow_internet_access: true }, { network: { allowOut: ['1.1.1.1'] } }]) {
    const r = await make(python, body)
    assert.deepEqual([r.status, r.json.error_code], [403, 'insufficient_capability'], r.text)
  }
  const [unsaid, network] = await internet(python, await make(python, {}))
  assert.equal(unsaid, false)
  const [, open] = await internet(egress, await make(egress, { allow_internet_access: true }))
  assert.notEqual(open, network)
  assert.equal((await internet(egress, await make(egress, { allow_internet_access: false })))[0], false)
})

claim('R60 wrong credentials are 429 with Retry-After in the end, and the right one works all the same', async () => {
  // A source of its own (all of 127/8 is this machine), so that no other test is refused.
  const k = await issueKey(i, { owner: 'team-a' })
  const from = (headers) => http('GET', '/v2/sandboxes', { url: i.url, headers, localAddress: '127.9.9.9' })
  // More at once than come back meanwhile, and a right one among them.
  const wrong = [{}, { 'X-API-Key': 'wrong' }, bearer('a.b.c')]
  const rounds = []
  for (let n = 0; n < 10; n++) rounds.push(...(await Promise.all(Array.from({ length: 60 }, (_, k) => from(wrong[k % 3])))))
  assert.deepEqual([...new Set(rounds.map((r) => r.status))].sort(), [401, 429])
  for (const r of rounds.filter((r) => r.status === 429)) assert.ok(Number(r.headers['retry-after']) >= 1 && r.json.code === 429)
  assert.ok(rounds.filter((r) => r.status === 401).length >= 128)
  assert.equal((await from(apiKey(k))).status, 200)
  assert.equal((await ask('GET', '/v2/sandboxes', { 'X-API-Key': 'wrong' })).status, 401) // another source
})

claim('an expired key and one that was never there are told apart by nobody', async () => {
  const k = await issueKey(i, { owner: 'team-a', expiresIn: 1 })
  assert.equal((await ask('GET', '/v2/sandboxes', apiKey(k))).status, 200)
  let r
  for (let n = 0; n < 200; n++) {
    r = await ask('GET', '/v2/sandboxes', apiKey(k))
    if (r.status !== 200) break
    await new Promise((done) => setTimeout(done, 50))
  }
  const none = await ask('GET', '/v2/sandboxes', apiKey('e2b_' + '0'.repeat(40)))
  assert.equal(r.status, 401)
  assert.equal(r.text, none.text)
  assert.equal((await admin(i, 'GET', '/admin/keys')).json.find((x) => x.id === k.id).state, 'expired')
})

claim('what an operator asks for wrongly is 400 and named', async () => {
  for (const [path, body, word] of [
    ['/admin/keys', { owner: 'a b' }, /owner/], ['/admin/keys', { name: 'bootstrap' }, /bootstrap/], ['/admin/keys', { capabilities: ['fly'] }, /capabilities\[0\]/],
    ['/admin/keys', { capabilities: 'admin' }, /capabilities/], ['/admin/keys', { expiresIn: 0 }, /expiresIn/], ['/admin/keys', { admin: 'yes' }, /admin/],
    ['/admin/token-keys', { kty: 'RSA', alg: 'RS256' }, /Ed25519/], ['/admin/token-keys', { kty: 'oct', alg: 'HS256', k: 'AAAA' }, /32/],
    ['/admin/tokens', { token: 'x' }, /refused/], ['/admin/tokens', {}, /token/], ['/admin/tokens/revoke', {}, /one of the fields/],
    ['/admin/tokens/revoke', { jti: 'a', user_id: 'b' }, /one of the fields/], ['/admin/tokens/revoke', { id: 'zz' }, /id/]]) {
    const r = await admin(i, 'POST', path, body)
    assert.equal(r.status, 400, `${path} ${JSON.stringify(body)}: ${r.text}`)
    assert.match(r.json.message, word)
  }
  assert.equal((await admin(i, 'DELETE', '/admin/keys/000000000000')).status, 404)
  assert.equal((await admin(i, 'DELETE', '/admin/token-keys/none')).status, 404)
  const fixed = await tokenKey(i, 'EdDSA', { kid: 'named', iss: 'https://issuer', aud: 'here' })
  const pair = await admin(i, 'POST', '/admin/token-keys', { kty: 'oct', alg: 'HS256', kid: 'named', k: Buffer.from('0123456789abcdef0123456789abcdef').toString('base64url') })
  assert.equal(pair.status, 409, pair.text)
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(fixed.make(claims('u'))))).status, 401)
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(fixed.make(claims('u', { iss: 'https://issuer', aud: 'here' }))))).status, 200)
})

claim('tokens are listed once they are registered, judged when asked, and revoked by id, by user and with their key', async () => {
  const k = await tokenKey(i, 'EdDSA')
  const made = (user, jti) => k.make(claims(user, jti ? { jti } : {}))
  const verify = async (token) => (await admin(i, 'POST', '/admin/tokens/verify', { token })).json
  const [a, b, c] = [made('rev-1'), made('rev-1', 'r-2'), made('rev-2', 'r-3')]
  const row = (await admin(i, 'POST', '/admin/tokens', { token: a })).json
  assert.equal(row.userID, 'rev-1')
  assert.deepEqual((await admin(i, 'GET', '/admin/tokens')).json.filter((t) => t.kid === k.kid).map((t) => t.id), [row.id])
  assert.equal((await verify(a)).valid, true)
  assert.equal((await admin(i, 'POST', '/admin/tokens/revoke', { id: row.id })).status, 204)
  assert.deepEqual(await verify(a), { valid: false, reason: 'it has been revoked' })
  assert.equal((await verify(b)).valid, true)
  assert.equal((await admin(i, 'POST', '/admin/tokens/revoke', { user_id: 'rev-1' })).status, 204)
  assert.equal((await verify(b)).valid, false)
  assert.equal((await verify(c)).valid, true)
  assert.equal((await admin(i, 'DELETE', `/admin/token-keys/${k.kid}`)).status, 204)
  assert.deepEqual(await verify(c), { valid: false, reason: 'no key of this server fits its header' })
  assert.equal((await ask('GET', '/v2/sandboxes', bearer(c))).status, 401)
  assert.ok(existsSync(i.log) && !i.logText().includes(c))
})

claim('the unmodified SDK takes a token in place of a key', async () => {
  const token = ed.make(claims('sdk-user', { capabilities: ['execute:bash'] }))
  const options = { ...i.sdk, apiKey: 'e2b_' + '0'.repeat(40), headers: { 'X-API-KEY': token } }
  const s = await Sandbox.create(options)
  assert.equal((await s.commands.run('echo token')).stdout, 'token\n')
  assert.equal(await s.kill(), true)
  await assert.rejects(Sandbox.create({ ...options, headers: { 'X-API-KEY': `${token}x` } }), e2b.AuthenticationError)
})
