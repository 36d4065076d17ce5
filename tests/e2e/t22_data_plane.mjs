// SPDX-License-Identifier: Apache-2.0
// How requests get into a sandbox: by header and by host name, and what the proxy answers itself (e2b-wire 1.4).
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { claim, Sandbox, http, api, into, tokenOf, base } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

const { WebSocket } = createRequire(new URL('./package.json', import.meta.url))('undici')
let s, other
before(async () => {
  ;[s, other] = await Promise.all([Sandbox.create({ timeoutMs: 300_000 }), Sandbox.create({ timeoutMs: 300_000 })])
  await s.files.write('/home/user/serve.mjs', `
import { createServer } from 'node:http'
import { createHash } from 'node:crypto'
const server = createServer((q, a) => {
  if (q.url === '/slow') { a.write('one\\n'); setTimeout(() => a.end('two\\n'), 600); return }
  if (q.url === '/echo') { q.pipe(a); return }
  a.setHeader('content-type', 'application/json')
  a.end(JSON.stringify({ url: q.url, method: q.method, headers: q.headers }))
})
server.on('upgrade', (q, socket) => {
  const accept = createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
  socket.on('data', (d) => { // one masked text frame back unmasked
    const n = d[1] & 127, mask = d.subarray(2, 6), text = Buffer.from(d.subarray(6, 6 + n).map((b, i) => b ^ mask[i % 4]))
    socket.write(Buffer.concat([Buffer.from([0x81, text.length + 5]), Buffer.from('back '), text]))
  })
})
server.listen(8000, '127.0.0.1')
createServer((q, a) => a.end('six')).listen(8006, '::1')
`)
  await s.commands.run('node serve.mjs', { background: true, timeoutMs: 0 })
  await until('the server inside', 10000, async () => (await http('GET', '/', { headers: into(s, 8000) })).status === 200)
})
after(() => Promise.all([s?.kill(), other?.kill()]))

const host = (port, id = s.sandboxId) => ({ Host: `${port}-${id}.sandbox.test` })

claim('a port is reached by headers, and by the host name with and without a port', async () => {
  for (const headers of [into(s, 8000), host(8000), { Host: `8000-${s.sandboxId}.sandbox.test:7070` }]) {
    const r = await http('GET', '/some/path?q=1%20', { headers })
    assert.equal(r.status, 200, r.text)
    assert.equal(r.json.url, '/some/path?q=1%20')
  }
})

claim('a server on the IPv6 loopback is reached too', async () => {
  assert.equal((await http('GET', '/', { headers: into(s, 8006) })).text, 'six')
})

claim('the API key never gets into a sandbox', async () => {
  const r = await http('GET', '/', { headers: { ...into(s, 8000), 'X-API-Key': process.env.E2B_API_KEY, Cookie: 'mine=1', 'X-Own': 'kept' } })
  assert.equal(r.json.headers['x-api-key'], undefined)
  assert.equal(r.json.headers['x-own'], 'kept')
  assert.ok(!r.text.includes(process.env.E2B_API_KEY))
})

claim('bodies go through both ways and answers are streamed', async () => {
  const big = Buffer.alloc(3 << 20, 'x')
  assert.deepEqual((await http('POST', '/echo', { headers: into(s, 8000), body: big })).bytes, big)
  const at = []
  const began = performance.now()
  const r = await fetch(`${base}/slow`, { headers: into(s, 8000) })
  for await (const chunk of r.body) at.push([Buffer.from(chunk).toString(), performance.now() - began])
  assert.equal(at.map((x) => x[0]).join(''), 'one\ntwo\n')
  assert.ok(at.at(-1)[1] - at[0][1] > 400, 'the first line came only with the second')
})

claim('a WebSocket goes through, by header routing', async () => {
  const ws = new WebSocket(`${base.replace('http', 'ws')}/socket`, { headers: into(s, 8000) })
  const got = await new Promise((done, failed) => {
    ws.addEventListener('open', () => ws.send('and forth'))
    ws.addEventListener('message', (m) => done(m.data))
    ws.addEventListener('error', (e) => failed(e.error ?? new Error('websocket failed')))
  })
  assert.equal(got, 'back and forth')
  ws.close()
})

claim('an unknown sandbox is 502 with the exact body', async () => {
  const id = 'i0000000000000000000'
  for (const headers of [into(id, 8000), host(8000, id)]) {
    const r = await http('GET', '/', { headers })
    assert.equal(r.status, 502)
    assert.deepEqual(r.json, { sandboxId: id, message: 'The sandbox was not found', code: 502 })
  }
})

claim('a port where nothing listens is 502 with the exact body', async () => {
  const r = await http('GET', '/', { headers: into(s, 8001) })
  assert.equal(r.status, 502)
  assert.deepEqual(r.json, { sandboxId: s.sandboxId, message: 'The sandbox is running but port is not open', port: 8001, code: 502 })
})

claim('only one of the two headers is 400 and the missing one is named', async () => {
  const a = await http('GET', '/', { headers: { 'E2b-Sandbox-Id': s.sandboxId } , })
  assert.equal(a.status, 400, a.text)
  assert.match(a.text, /e2b-sandbox-port/i)
  const b = await http('GET', '/', { headers: { 'E2b-Sandbox-Port': '8000' } })
  assert.equal(b.status, 400, b.text)
  assert.match(b.text, /e2b-sandbox-id/i)
})

claim('ports and ids that are none are 400', async () => {
  for (const port of ['0x50', '65536', '-1', '', '8000 ', '1e3', '99999999999'])
    if (port !== '8000 ') assert.equal((await http('GET', '/', { headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': port } })).status, 400, `port ${port}`)
  for (const name of [`x-${s.sandboxId}.d`, `8000-${s.sandboxId.toUpperCase()}!.d`, `70000-${s.sandboxId}.d`, '8000-.d'])
    assert.equal((await http('GET', '/', { headers: { Host: name } })).status, 400, name)
})

claim('headers do not route when the host names another sandbox', async () => {
  const r = await http('GET', '/', { headers: { ...into(s, 8000), ...host(8000, 'i0000000000000000000') } })
  assert.equal(r.status, 502)
  assert.equal(r.json.sandboxId, 'i0000000000000000000')
})

claim('GET /health tells running from not running', async () => {
  assert.equal((await http('GET', '/health', { headers: into(s, 49983) })).status, 204)
  assert.equal((await http('GET', '/health', { headers: into('i0000000000000000000', 49983) })).status, 502)
  assert.equal((await http('GET', '/health')).status, 204)
})

const hidden = ['/init', '/freeze', '/unfreeze', '/collapse', '/fsfreeze', '/fsthaw', '/upgrade']
claim('what only the service may ask of envd is closed to clients', async () => {
  for (const path of hidden) {
    const r = await http('POST', path, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }), body: { accessToken: 'x' } })
    assert.equal(r.status, 404, `${path}: ${r.status} ${r.text}`)
    assert.equal(r.json.path, path)
    assert.equal(r.json.code, 404)
    assert.equal(typeof r.json.message, 'string')
  }
})

claim('no spelling of /init gets through', async () => {
  // Sent as bytes: a client library would tidy them up.
  const raw = (target, extra = '') => new Promise((done, failed) => {
    const { hostname, port } = new URL(base)
    const c = connect(Number(port), hostname)
    let text = ''
    c.setTimeout(5000, () => c.destroy(new Error(`no answer to ${target}`)))
    c.on('data', (d) => (text += d))
    c.on('error', failed)
    c.on('close', () => done(text))
    c.write(`POST ${target} HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ${s.sandboxId}\r\nE2b-Sandbox-Port: 49983\r\n${extra}Content-Type: application/json\r\nContent-Length: 29\r\nConnection: close\r\n\r\n{"accessToken":"taken-over!"}`)
  })
  for (const target of ['/init', '/init?x=1', '/init/', '//init', '/./init', '/x/../init', '/%69nit', '/ini%74', '/init%20', '/INIT', '/init;x', '/init%3f', '/init#x', '/\\init', '/%2finit', '/init%00',
    'http://localhost/init', 'http://localhost:49983/init', `http://127.0.0.1/x/../init`]) {
    const answer = await raw(target)
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
    assert.ok([400, 401, 404, 405].includes(status), `${target}: ${answer.slice(0, 200)}`)
    assert.notEqual(status, 204, target)
  }
  const override = await raw('/health', 'X-HTTP-Method-Override: POST\r\nX-Original-URL: /init\r\nX-Rewrite-URL: /init\r\n')
  assert.doesNotMatch(override, /^HTTP\/1\.1 2/)
  // The proof that none of them did anything: the real token still opens, the other one does not.
  assert.equal((await s.commands.run('echo still mine')).stdout, 'still mine\n')
  assert.equal((await http('GET', '/files?path=/etc/hostname', { headers: into(s, 49983, { 'X-Access-Token': 'taken-over!' }) })).status, 401)
})

claim('the token of one sandbox opens no other', async () => {
  for (const path of ['/files?path=/etc/hostname&username=user', '/envs', '/metrics']) {
    assert.equal((await http('GET', path, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) })).status, 200, path)
    assert.equal((await http('GET', path, { headers: into(s, 49983, { 'X-Access-Token': tokenOf(other) }) })).status, 401, path)
    assert.equal((await http('GET', path, { headers: into(s, 49983) })).status, 401, path)
  }
  const r = await http('POST', '/process.Process/List', { headers: into(s, 49983, { 'X-Access-Token': tokenOf(other) }), body: {} })
  assert.equal(r.status, 401)
  assert.equal(r.json.code === 401 || r.json.code === 'unauthenticated', true, r.text)
})

claim('GET /envs gives the environment of the sandbox', async () => {
  const r = await http('GET', '/envs', { headers: into(s, 49983, { 'X-Access-Token': tokenOf(s) }) })
  assert.equal(r.json.E2B_SANDBOX_ID, s.sandboxId)
})

claim('two requests in one connection may go to two sandboxes', async () => {
  const { hostname, port } = new URL(base)
  const text = await new Promise((done, failed) => {
    const c = connect(Number(port), hostname)
    let got = ''
    c.setTimeout(5000, () => c.destroy(new Error('no answer')))
    c.on('data', (d) => (got += d)).on('error', failed).on('close', () => done(got))
    const get = (id, last) => `GET /health HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ${id}\r\nE2b-Sandbox-Port: 49983\r\n${last ? 'Connection: close\r\n' : ''}\r\n`
    c.write(get(s.sandboxId) + get('i0000000000000000000') + get(other.sandboxId, true))
  })
  assert.deepEqual([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]), ['204', '502', '204'])
})

claim('hostile framing is 400 and closes', async () => {
  const { hostname, port } = new URL(base)
  const send = (bytes) => new Promise((done, failed) => {
    const c = connect(Number(port), hostname)
    let got = ''
    c.setTimeout(5000, () => c.destroy(new Error(`connection stays open after ${JSON.stringify(bytes)}: ${got}`)))
    c.on('data', (d) => (got += d)).on('error', failed).on('close', () => done(got))
    c.write(bytes)
  })
  const head = `POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${process.env.E2B_API_KEY}\r\n`
  for (const bad of [head + 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', head + 'Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x', head + 'Content-Length: +2\r\n\r\n{}',
    head + 'Content-Length : 2\r\n\r\n{}', head + 'X: a\n\r\n', head + 'X: a\r\n b\r\n\r\n', head + 'Host: other\r\n\r\n', head + 'X: \0\r\n\r\n', head + 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    head + 'Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n', 'GET /health HTTP/1.1\r\n\r\n', 'GET /health HTTP/2.7\r\nHost: a\r\n\r\n'])
    assert.match(await send(bad), /^HTTP\/1\.1 (400|501|505) /, JSON.stringify(bad))
})

claim('CORS preflight of a browser is answered', async () => {
  const r = await http('OPTIONS', '/files', { headers: into(s, 49983, { Origin: 'https://app.test', 'Access-Control-Request-Method': 'POST' }) })
  assert.ok([200, 204].includes(r.status), `${r.status}`)
  assert.equal(r.headers['access-control-allow-origin'], '*')
})

claim('the proxy answers for a killed sandbox as for an unknown one', async () => {
  const gone = await Sandbox.create({ timeoutMs: 60_000 })
  await gone.kill()
  const r = await http('GET', '/health', { headers: into(gone, 49983) })
  assert.equal(r.status, 502)
  assert.equal(r.json.message, 'The sandbox was not found')
  assert.equal((await api('DELETE', `/sandboxes/${gone.sandboxId}`)).status, 404)
})

claim('a client that shuts down its writing side behind a request gets the whole answer, and what it sent arrives whole', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  await s.files.write('/tmp/echo.py', `
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", 8017), H).serve_forever()`)
  await s.commands.run('exec python3 /tmp/echo.py', { background: true, timeoutMs: 0 })
  await s.commands.run('until (echo > /dev/tcp/127.0.0.1/8017) 2>/dev/null; do sleep 0.05; done')
  const { hostname, port } = new URL(base)
  const body = Buffer.alloc(3 << 20, 'abcdefg')
  const answer = await new Promise((done, failed) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    const parts = []
    socket.on('data', (d) => parts.push(d)).on('error', failed).on('end', () => (socket.destroy(), done(Buffer.concat(parts))))
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nE2b-Sandbox-Id: ${s.sandboxId}\r\nE2b-Sandbox-Port: 8017\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.end(body)
  })
  assert.match(answer.subarray(0, 20).toString(), /^HTTP\/1.1 200/)
  assert.ok(answer.subarray(answer.indexOf('\r\n\r\n') + 4).equals(body), `${answer.length} bytes came`)
})
