// SPDX-License-Identifier: Apache-2.0
// Bad input: the exact status, and a JSON body with a numeric code and a message that names what was wrong.
import assert from 'node:assert/strict'
import { claim, e2b, Sandbox, api, http } from '../lib/sdk.mjs'

const isError = (r, status, message) => {
  assert.equal(r.status, status, `${r.status} ${r.text}`)
  assert.match(r.headers['content-type'] ?? '', /application\/json/)
  assert.equal(r.json?.code, status, r.text)
  assert.match(r.json.message, message)
}
const unknown = 'i0000000000000000000'

claim('an unknown template is 404 and named', async () => {
  isError(await api('POST', '/v2/sandboxes', { body: { templateID: 'no-such-thing' } }), 404, /template 'no-such-thing' not found/)
  await assert.rejects(Sandbox.create('no-such-thing'), (e) => /no-such-thing/.test(e.message))
})

claim('a missing and a wrong key are 401 on every control path', async () => {
  for (const [method, path] of [['GET', '/v2/sandboxes'], ['POST', '/v2/sandboxes'], ['POST', '/sandboxes'], ['GET', `/sandboxes/${unknown}`], ['DELETE', `/sandboxes/${unknown}`],
    ['POST', `/sandboxes/${unknown}/timeout`], ['GET', '/templates']]) {
    const body = method === 'POST' ? { templateID: 'base', timeout: 10 } : undefined
    isError(await http(method, path, { body }), 401, /./)
    for (const key of ['', 'e2b_' + '0'.repeat(40), process.env.E2B_API_KEY.slice(0, -1), process.env.E2B_API_KEY + '0'])
      isError(await http(method, path, { body, headers: { 'X-API-Key': key } }), 401, /./)
  }
  await assert.rejects(Sandbox.create({ apiKey: 'e2b_' + '0'.repeat(40) }), e2b.AuthenticationError)
})

claim('an unknown id is 404 on every path, and named', async () => {
  for (const [method, path, body] of [['GET', ''], ['DELETE', ''], ['POST', '/timeout', { timeout: 10 }], ['POST', '/refreshes', { duration: 10 }], ['POST', '/connect', { timeout: 10 }]])
    isError(await api(method, `/sandboxes/${unknown}${path}`, { body }), 404, new RegExp(unknown))
  assert.equal(await Sandbox.kill(unknown), false)
  await assert.rejects(Sandbox.connect(unknown), e2b.SandboxNotFoundError)
})

claim('ids that are no ids are 404 or 400, never a file name', async () => {
  for (const id of ['..', '%2e%2e', '..%2f..%2fetc%2fpasswd', 'I0000000000000000000', 'i', 'i%00', "i'%20or%201=1", 'a'.repeat(300)]) {
    const r = await api('GET', `/sandboxes/${id}`)
    assert.ok([400, 404].includes(r.status), `${id}: ${r.status} ${r.text}`)
    assert.equal(r.json?.code, r.status, r.text)
  }
})

claim('a body that is no JSON, or no object, is 400', async () => {
  for (const body of ['', '{', '[]', '"x"', 'null', '{"templateID":"base"', '{"templateID":"base"}x', '{"templateID":"\\ud800"}', 'x'.repeat(100)])
    isError(await api('POST', '/v2/sandboxes', { body, headers: { 'Content-Type': 'application/json' } }), 400, /./)
})

claim('a field of a wrong type or range is 400 and named', async () => {
  for (const [field, value] of [['templateID', 7], ['templateID', undefined], ['templateID', ''], ['timeout', 'soon'], ['timeout', 0], ['timeout', -1], ['timeout', 1.5], ['timeout', 1e12],
    ['metadata', []], ['metadata', { k: 1 }], ['envVars', 'A=1'], ['envVars', { A: 1 }]]) {
    const r = await api('POST', '/v2/sandboxes', { body: { templateID: 'base', timeout: 5, [field]: value } })
    if (r.status === 201) await api('DELETE', `/sandboxes/${r.json.sandboxID}`)
    isError(r, 400, new RegExp(field))
  }
})

claim('a timeout beyond the largest is 400', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  try {
    isError(await api('POST', `/sandboxes/${s.sandboxId}/timeout`, { body: { timeout: -1 } }), 400, /timeout/)
    isError(await api('POST', `/sandboxes/${s.sandboxId}/timeout`, { body: { timeout: 'x' } }), 400, /timeout/)
    isError(await api('POST', `/sandboxes/${s.sandboxId}/timeout`, { body: {} }), 400, /timeout/)
  } finally {
    await s.kill()
  }
})

claim('an oversized body is 413', async () => {
  const r = await api('POST', '/v2/sandboxes', { body: JSON.stringify({ templateID: 'base', metadata: { a: 'x'.repeat(4 << 20) } }), headers: { 'Content-Type': 'application/json' } }).catch((e) => e)
  if (!(r instanceof Error)) isError(r, 413, /./)
  else assert.match(String(r.code), /EPIPE|ECONNRESET/)
  assert.equal((await http('GET', '/health')).status, 204)
})

claim('an unknown path is 404 and a wrong method 404 or 405, in JSON', async () => {
  isError(await api('GET', '/no/such/path'), 404, /./)
  const r = await api('PATCH', '/v2/sandboxes')
  assert.ok([404, 405].includes(r.status), `${r.status}`)
  assert.equal(r.json?.code, r.status)
})

claim('bad query values of list are 400 and named', async () => {
  for (const [query, name] of [['limit=0', 'limit'], ['limit=1000', 'limit'], ['limit=x', 'limit'], ['state=sleeping', 'state'], ['nextToken=%21%21', 'nextToken'], ['order=sideways', 'order']])
    isError(await api('GET', `/v2/sandboxes?${query}`), 400, new RegExp(name, 'i'))
})

claim('no error tells a path, a query or a version of what runs behind it', async () => {
  for (const r of [await api('GET', '/sandboxes/%27'), await api('POST', '/v2/sandboxes', { body: '{' }), await api('GET', '/x')]) {
    assert.doesNotMatch(r.text, /sqlite|SELECT|\.c:\d|\/var\/lib|\/usr\//i)
    assert.equal(r.headers['x-powered-by'], undefined)
  }
})
