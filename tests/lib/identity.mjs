// SPDX-License-Identifier: Apache-2.0
// Credentials for tests: keys of the API, tokens made by Node's own crypto (no code of ours takes part in them).
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { http } from './sdk.mjs'

const encode = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url')
export const nowS = () => Math.floor(Date.now() / 1000)

// The operator of instance `i` ({url, key}).
export const admin = (i, method, path, body) => http(method, path, { url: i.url, headers: { 'X-API-Key': i.key }, body })
const must = (r, status) => {
  if (r.status !== status) throw new Error(`${r.status} ${r.text}`)
  return r.json
}

// {id, key, owner, ...}
export const issueKey = async (i, fields) => must(await admin(i, 'POST', '/admin/keys', fields), 201)
export const revokeKey = async (i, id) => must(await admin(i, 'DELETE', `/admin/keys/${id}`), 204)

// A signing key that the server knows: {kid, alg, make(claims, header)}.
export async function tokenKey(i, alg, more = {}) {
  const secret = randomBytes(32).toString('hex')
  const pair = generateKeyPairSync('ed25519')
  const jwk = alg === 'HS256' ? { kty: 'oct', alg, k: encode(secret), ...more } : { ...pair.publicKey.export({ format: 'jwk' }), alg, ...more }
  const { kid } = must(await admin(i, 'POST', '/admin/token-keys', jwk), 201)
  return { kid, alg, make: (claims, header = { alg, kid }) => signed(alg, alg === 'HS256' ? secret : pair.privateKey, header, claims) }
}
export function signed(alg, key, header, claims) {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${(alg === 'HS256' ? createHmac('sha256', key).update(text).digest() : sign(null, Buffer.from(text), key)).toString('base64url')}`
}
// The seed's claims.
export const claims = (user_id, more = {}) => ({ user_id, exp: nowS() + 3600, iat: nowS(), capabilities: ['execute:python', 'execute:javascript'], ...more })
export const bearer = (token) => ({ Authorization: `Bearer ${token}` })
export const apiKey = (k) => ({ 'X-API-Key': k.key ?? k })
