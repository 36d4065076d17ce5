// SPDX-License-Identifier: Apache-2.0
// Every operation of api/openapi.yaml, asked by everybody: without a credential, with a malformed, an expired, a revoked one, as another tenant, without the
// capability, and rightly. An operation that the table below does not know fails: whoever adds a route says here who may use it.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { claim, http } from '../lib/sdk.mjs'
import { Instance, root } from '../lib/instance.mjs'
import { admin, apiKey, bearer, claims, issueKey, nowS, revokeKey, tokenKey } from '../lib/identity.mjs'

// {id, method, path, open, capability} of each operation. The file is written so that lines tell (test_documents.py reads it likewise).
function operations() {
  const paths = readFileSync(join(root, 'api/openapi.yaml'), 'utf8').split('\npaths:\n')[1].split('\ncomponents:\n')[0]
  const found = []
  let path
  for (const line of paths.split('\n')) {
    const at = /^ {2}(\/\S*):$/.exec(line)
    const method = /^ {4}(get|put|post|delete|patch|head|options):$/.exec(line)
    const o = found.at(-1)
    if (at) path = at[1]
    else if (method) found.push({ method: method[1].toUpperCase(), path, open: false, capability: '' })
    else if (/^ {6}operationId: /.test(line)) o.id = line.trim().split(' ')[1]
    else if (/^ {6}x-capability: /.test(line)) o.capability = line.trim().split(' ')[1]
    else if (line === '      security: []') o.open = true
  }
  return found
}

// What asks rightly, and the answer to it. `of` names whose object the path holds: then another tenant gets 404.
const sandbox = { of: 'sandbox' }
const right = {
  createSandbox: { body: { templateID: 'base', timeout: 60 }, status: 201, makes: 'sandbox' },
  createSandboxV1: { body: { templateID: 'base', timeout: 60 }, status: 201, makes: 'sandbox' },
  listSandboxes: { status: 200, lists: true },
  listSandboxesV1: { status: 200, lists: true },
  listSandboxesSeed: { status: 200, lists: true },
  getSandbox: { ...sandbox, status: 200 },
  killSandbox: { ...sandbox, status: 204 },
  setTimeout: { ...sandbox, body: { timeout: 60 }, status: 204 },
  updateNetwork: { ...sandbox, body: {}, status: 204 },
  refreshSandbox: { ...sandbox, body: { duration: 60 }, status: 204 },
  connectSandboxV1: { ...sandbox, body: { timeout: 60 }, status: 200 },
  connectSandbox: { ...sandbox, body: { timeout: 60 }, status: 200 },
  getSandboxMetrics: { ...sandbox, status: 200 },
  listTemplates: { status: 200 },
  getTemplateAlias: { params: { alias: 'base' }, status: 200 },
  listKeys: { status: 200 },
  issueKey: { body: { owner: 'made' }, status: 201 },
  revokeKey: { params: { keyID: '000000000000' }, status: 404 },
  listTokenKeys: { status: 200 },
  addTokenKey: { body: { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }, status: 201 },
  removeTokenKey: { params: { kid: 'none' }, status: 404 },
  listTokens: { status: 200 },
  registerToken: { body: { token: 'x' }, status: 400 },
  verifyToken: { body: { token: 'x' }, status: 200 },
  revokeToken: { body: { jti: 'x' }, status: 204 },
  health: { status: 204 },
  healthz: { status: 200 },
  metrics: { status: 200 },
}

let i, mine, other, operator, key, revoked, hs
before(async () => {
  i = await Instance.start()
  mine = await issueKey(i, { owner: 'mine' })
  other = await issueKey(i, { owner: 'other' })
  operator = await issueKey(i, { owner: 'mine', admin: true })
  revoked = await issueKey(i, { owner: 'mine', admin: true })
  await revokeKey(i, revoked.id)
  key = await tokenKey(i, 'EdDSA')
  hs = await tokenKey(i, 'HS256')
})
after(() => i?.end())

// Each failure from an address of its own: none of them is to be refused for the others.
let source = 0
const ask = (o, headers, id) => {
  const path = o.path.replace(/\{(\w+)\}/g, (_, name) => right[o.id].params?.[name] ?? id)
  source++
  return http(o.method, path, { url: i.url, headers, body: right[o.id].body, localAddress: `127.1.${source >> 8}.${source & 255}` })
}
const made = new Set()
async function newSandbox() {
  const r = await http('POST', '/v2/sandboxes', { url: i.url, headers: apiKey(mine), body: { templateID: 'base', timeout: 300 } })
  assert.equal(r.status, 201, r.text)
  made.add(r.json.sandboxID)
  return r.json.sandboxID
}
const kill = (id) => http('DELETE', `/sandboxes/${id}`, { url: i.url, headers: apiKey(mine) })

claim('every operation of the API description has a row here, and every row an operation', () => {
  assert.deepEqual(operations().map((o) => o.id).sort(), Object.keys(right).sort())
  assert.ok(operations().length >= 28)
})

for (const o of operations()) {
  const r = right[o.id]
  if (!r) continue // the claim above has said so
  claim(`R43 R56 R57 ${o.method} ${o.path}: ${o.open ? 'anybody' : 'nobody without a credential, no other tenant, nobody without the capability'}`, async () => {
    const id = r.of ? await newSandbox() : undefined
    const all = ['execute:bash', 'execute:python', 'network:egress', 'desktop:access', 'surf:start', 'spell:execute', 'artifact:upload', 'admin']
    const token = (k, more) => bearer(k.make(claims('mine', { capabilities: all, ...more })))
    const t = nowS()
    const bad = {
      none: {}, 'an empty key': { 'X-API-Key': '' }, 'an unknown key': { 'X-API-Key': 'e2b_' + '0'.repeat(40) }, 'a key cut short': { 'X-API-Key': operator.key.slice(0, -1) },
      'a malformed token': bearer('a.b.c'), 'a token that was changed': bearer(token(key).Authorization.slice(7).replace(/\.(.)([^.]*)$/, (_, c, rest) => `.${c === 'A' ? 'B' : 'A'}${rest}`)),
      'an expired token': token(key, { iat: t - 3600, exp: t - 60 }), 'an expired HS256 token': token(hs, { iat: t - 3600, exp: t - 60 }),
      'a token for later': token(key, { iat: t + 300, exp: t + 600 }), 'a token for too long': token(hs, { exp: t + 7200 }), 'a revoked key': apiKey(revoked),
      'a key in another scheme': { Authorization: `Basic ${operator.key}` },
    }
    for (const [what, headers] of Object.entries(bad)) {
      const answer = await ask(o, headers, id)
      assert.equal(answer.status, o.open ? r.status : 401, `${what}: ${answer.text}`)
      if (!o.open) assert.deepEqual([answer.json.code, answer.headers['www-authenticate']], [401, 'Bearer'], what)
    }
    const query = await http(o.method, `${o.path.replace(/\{\w+\}/g, 'x')}?api_key=${operator.key}&access_token=${operator.key}`, { url: i.url, body: r.body, localAddress: '127.2.0.1' })
    assert.equal(query.status, o.open ? r.status : 401, 'a key in the query')
    if (o.open) return
    if (r.of) {
      const foreign = await ask(o, apiKey(other), id)
      const unknown = await ask(o, apiKey(other), 'i0000000000000000000')
      assert.equal(foreign.status, 404)
      assert.equal(foreign.text.replaceAll(id, 'i0000000000000000000'), unknown.text)
      assert.equal((await ask(o, token(key, { user_id: 'other' }), id)).status, 404)
      // Its owner, with less than the credential that made it.
      assert.equal((await ask(o, token(key, { capabilities: ['execute:python'] }), id)).status, 404)
    }
    if (r.lists) {
      const own = await newSandbox()
      assert.deepEqual((await ask(o, apiKey(other))).json, [])
      assert.ok((await ask(o, apiKey(mine))).json.some((s) => s.sandboxID === own))
      await kill(own)
    }
    if (o.capability) {
      const without = all.filter((c) => (o.capability === 'execute' ? !c.startsWith('execute:') : c !== o.capability))
      for (const headers of [token(key, { capabilities: without }), token(hs, { capabilities: [] })]) {
        const answer = await ask(o, headers, id)
        assert.deepEqual([answer.status, answer.json.error_code], [403, 'insufficient_capability'], answer.text)
      }
      if (o.capability === 'admin') assert.equal((await ask(o, apiKey(mine), id)).status, 403, 'a key without a scope is no operator')
    }
    const answer = await ask(o, apiKey(o.capability === 'admin' ? operator : mine), id)
    assert.equal(answer.status, r.status, answer.text)
    if (r.makes) await kill(answer.json.sandboxID)
    if (id) await kill(id)
  })
}

claim('the matrix has left no sandbox and no failed answer of the server', async () => {
  assert.deepEqual((await admin(i, 'GET', '/v2/sandboxes?owners=all')).json, [])
  assert.doesNotMatch((await http('GET', '/metrics', { url: i.url })).text, /http_requests_total\{[^}]*code="5xx"\} [1-9]/)
})
