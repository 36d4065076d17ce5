// SPDX-License-Identifier: Apache-2.0
// firebreak key and token, as an operator types them. Tokens are checked by Node's own crypto.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { createHmac, createPublicKey, randomBytes, verify } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { claim, http } from '../lib/sdk.mjs'
import { Instance } from '../lib/instance.mjs'
import { apiKey, bearer, nowS } from '../lib/identity.mjs'

let i
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

const ok = (args, options) => {
  const r = i.cli(args, options)
  assert.equal(r.code, 0, `${args.join(' ')}: ${r.stderr}`)
  return r
}
const status = async (headers) => (await http('GET', '/v2/sandboxes', { url: i.url, headers })).status
const parts = (token) => token.split('.').map((p, n) => (n < 2 ? JSON.parse(Buffer.from(p, 'base64url')) : Buffer.from(p, 'base64url')))
const signedText = (token) => token.split('.').slice(0, 2).join('.')

claim('R53 key issue shows a key once, which works, is listed without its text, and ends with key revoke', async () => {
  const r = ok(['key', 'issue', '--name', 'ci', '--owner', 'team', '--cap', 'execute:bash', '--expires', '1h'])
  const key = r.stdout.trim()
  assert.match(key, /^e2b_[0-9a-f]{40}$/)
  assert.match(r.stderr, /shown this once/)
  assert.equal(await status(apiKey(key)), 200)
  const list = ok(['key', 'list']).stdout
  assert.ok(!list.includes(key.slice(4)))
  const row = JSON.parse(ok(['key', 'list', '--json']).stdout).find((k) => k.name === 'ci')
  assert.deepEqual([row.owner, row.state, row.capabilities], ['team', 'valid', ['execute:bash']])
  assert.match(list, new RegExp(`${row.id} +ci +team +valid .*execute:bash`))
  assert.match(ok(['key', 'revoke', row.id]).stdout, /^revoked /)
  assert.equal(await status(apiKey(key)), 401)
  const again = i.cli(['key', 'revoke', row.id])
  assert.deepEqual([again.code, /no API key of that id/.test(again.stderr)], [1, true])
  const json = JSON.parse(ok(['key', 'issue', '--json', '--admin']).stdout)
  assert.deepEqual([json.owner, json.capabilities], ['default', ['*', 'admin']])
})

claim('R48 token issue by an Ed25519 key: others can check it, the server cannot make it', async () => {
  const none = i.cli(['token', 'issue', '--user', 'u'])
  assert.deepEqual([none.code, /token trust/.test(none.stderr)], [1, true])
  const kid = ok(['token', 'trust']).stdout.split(' ')[0]
  const file = join(i.state, 'token.jwk')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.equal(i.cli(['token', 'trust']).code, 1) // never over a key that is there
  const jwk = JSON.parse(readFileSync(file, 'utf8'))
  assert.equal(jwk.kid, kid)
  for (const f of ['firebreak.db', 'firebreak.db-wal']) assert.ok(!readFileSync(join(i.state, 'db', f)).includes(jwk.d), 'the private half is not at the server')
  const token = ok(['token', 'issue', '--user', 'user-123', '--cap', 'execute:python', '--cap', 'network:egress', '--ttl', '10m']).stdout.trim()
  const [header, payload, signature] = parts(token)
  assert.deepEqual(header, { alg: 'EdDSA', typ: 'JWT', kid })
  assert.deepEqual([payload.user_id, payload.capabilities, payload.exp - payload.iat], ['user-123', ['execute:python', 'network:egress'], 600])
  const { d, ...half } = jwk
  assert.ok(verify(null, Buffer.from(signedText(token)), createPublicKey({ key: half, format: 'jwk' }), signature))
  assert.equal(await status(bearer(token)), 200)
  assert.match(ok(['token', 'verify'], { input: token }).stdout, /^valid: it is valid\nuser user-123, until .*Z, may execute:python network:egress\n$/)
  const rows = JSON.parse(ok(['token', 'list', '--json']).stdout)
  assert.deepEqual(rows.map((t) => [t.userID, t.kid, t.jti]), [['user-123', kid, payload.jti]])
  assert.ok(ok(['token', 'list']).stdout.includes(rows[0].id))
  assert.match(ok(['token', 'keys']).stdout, new RegExp(`${kid} +EdDSA`))
  ok(['token', 'revoke', rows[0].id])
  assert.equal(await status(bearer(token)), 401)
  const refused = i.cli(['token', 'verify', '-'], { input: token })
  assert.deepEqual([refused.code, refused.stdout], [1, 'refused: it has been revoked\n'])
  ok(['token', 'distrust', kid])
  rmSync(file)
})

claim('R48 token issue by a secret of the seed\'s services is what their code makes', async () => {
  const secret = randomBytes(32).toString('hex')
  assert.match(ok(['token', 'trust', '--from', '-'], { input: `${secret}\n` }).stdout, /HS256/)
  const token = ok(['token', 'issue', '--user', 'user-123', '--key', '-'], { input: `${secret}\n` }).stdout.trim()
  assert.equal(token.split('.')[0], Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url'))
  const [, payload, signature] = parts(token)
  assert.deepEqual(Object.keys(payload).sort(), ['capabilities', 'exp', 'iat', 'user_id'])
  assert.deepEqual([payload.user_id, payload.exp - payload.iat, payload.capabilities], ['user-123', 3600, ['execute:python', 'execute:javascript']])
  assert.ok(Math.abs(payload.iat - nowS()) < 10)
  assert.deepEqual(createHmac('sha256', secret).update(signedText(token)).digest(), signature)
  assert.equal(await status(bearer(token)), 200)
  ok(['token', 'revoke', '--user', 'user-123'])
  assert.equal(await status(bearer(token)), 401)
})

claim('R49 a short secret, and one that is an example, is refused', async () => {
  for (const [secret, why] of [['short', /32 to 256/], ['change-me-change-me-change-me-change-me', /placeholder/], ['your_jwt_secret_your_jwt_secret_xx', /placeholder/]]) {
    const r = i.cli(['token', 'trust', '--from', '-'], { input: secret })
    assert.equal(r.code, 1)
    assert.match(r.stderr, why)
    assert.ok(!r.stderr.includes(secret))
  }
})

claim('a key that others made is trusted by its public half, and its private half signs from a file', async () => {
  const file = join(i.dir, 'other.jwk')
  ok(['token', 'trust', '--out', file, '--kid', 'other', '--iss', 'https://issuer', '--aud', 'here', '--json'])
  assert.ok(existsSync(file))
  const [, payload] = parts(ok(['token', 'issue', '--user', 'u', '--key', file]).stdout.trim())
  assert.deepEqual([payload.iss, payload.aud], ['https://issuer', 'here'])
  const { d, ...half } = JSON.parse(readFileSync(file, 'utf8'))
  const public_ = join(i.dir, 'public.jwk')
  writeFileSync(public_, JSON.stringify({ ...half, kid: 'public' }))
  ok(['token', 'trust', '--from', public_])
  assert.match(i.cli(['token', 'issue', '--user', 'u', '--key', public_]).stderr, /signs nothing/)
  assert.match(i.cli(['token', 'trust', '--from', public_]).stderr, /already/)
})

claim('ps and kill are about one\'s own sandboxes, and about everybody\'s with --all-owners', async () => {
  const key = ok(['key', 'issue', '--owner', 'somebody']).stdout.trim()
  const r = await http('POST', '/v2/sandboxes', { url: i.url, headers: apiKey(key), body: { templateID: 'base', timeout: 60 } })
  assert.equal(ok(['ps', '--json']).stdout.trim(), '[]')
  assert.deepEqual(JSON.parse(ok(['ps', '--json', '--all-owners']).stdout).map((s) => [s.sandboxID, s.owner]), [[r.json.sandboxID, 'somebody']])
  assert.equal(i.cli(['kill', r.json.sandboxID]).code, 1)
  const denied = i.cli(['ps', '--all-owners'], { env: { E2B_API_KEY: key } })
  assert.deepEqual([denied.code, /capability admin/.test(denied.stderr)], [1, true])
  ok(['kill', '--all', '--all-owners'])
  assert.equal(ok(['ps', '--json', '--all-owners']).stdout.trim(), '[]')
})
