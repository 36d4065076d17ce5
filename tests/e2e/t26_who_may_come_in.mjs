// SPDX-License-Identifier: Apache-2.0
// network.allowPublicTraffic and network.maskRequestHost: who may come to a sandbox's ports, and under which Host (e2b-wire 1.4, 2.5).
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, Sandbox, http, api, into } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

const SERVE = `python3 -c "
import http.server, json
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), H).serve_forever()"`
const network = { allowPublicTraffic: false, maskRequestHost: 'app.internal:\${PORT}' }
let closed, open
const token = () => closed.trafficAccessToken
const ask = (s, headers = {}) => http('GET', '/', { headers: into(s, 8000, headers) })

before(async () => {
  ;[closed, open] = await Promise.all([Sandbox.create({ timeoutMs: 300_000, network }), Sandbox.create({ timeoutMs: 300_000 })])
  for (const s of [closed, open]) await s.commands.run(SERVE, { background: true, timeoutMs: 0 })
  await until('the server inside', 10000, async () => (await ask(open)).status === 200)
  await until('the other one', 10000, async () => (await ask(closed, { 'e2b-traffic-access-token': token() })).status === 200)
})
after(() => Promise.all([closed?.kill(), open?.kill()]))

claim('without the token nobody comes in', async () => {
  assert.match(token(), /^[0-9a-f]{64}$/)
  for (const headers of [{}, { 'e2b-traffic-access-token': '' }, { 'e2b-traffic-access-token': token().slice(1) }, { 'e2b-traffic-access-token': closed.envdAccessToken }]) {
    const r = await ask(closed, headers)
    assert.equal(r.status, 403, r.text)
    assert.deepEqual([r.json.sandboxId, r.json.code, /trafficAccessToken/.test(r.json.message)], [closed.sandboxId, 403, true])
  }
})

claim('nor by host name', async () => {
  assert.equal((await http('GET', '/', { headers: { Host: `8000-${closed.sandboxId}.sandbox.test` } })).status, 403)
})

claim('with it one does, and the token stays outside', async () => {
  const r = await ask(closed, { 'E2B-Traffic-Access-Token': token() })
  assert.equal(r.status, 200, r.text)
  assert.equal(r.json['e2b-traffic-access-token'], undefined)
})

claim('the Host that is brought is the one that was wished for, with the port in it', async () => {
  assert.equal((await ask(closed, { 'e2b-traffic-access-token': token() })).json.host, 'app.internal:8000')
  assert.notEqual((await ask(open)).json.host, 'app.internal:8000')
})

claim('envd needs its own token only', async () => {
  assert.equal((await closed.commands.run('echo hello')).stdout, 'hello\n')
})

claim('the token comes again when one connects, and GET does not tell it', async () => {
  const again = await api('POST', `/sandboxes/${closed.sandboxId}/connect`, { body: { timeout: 300 } })
  assert.equal(again.json.trafficAccessToken, token())
  assert.equal((await api('POST', `/sandboxes/${open.sandboxId}/connect`, { body: { timeout: 300 } })).json.trafficAccessToken, null)
  const info = await api('GET', `/sandboxes/${closed.sandboxId}`)
  assert.deepEqual(info.json.network, { allowOut: [], denyOut: [], ...network })
  assert.ok(!info.text.includes(token()))
})

claim('an update of what it may reach leaves the way in as it is, and cannot change it', async () => {
  assert.equal((await api('PUT', `/sandboxes/${closed.sandboxId}/network`, { body: { denyOut: ['8.8.8.8'] } })).status, 204)
  assert.equal((await ask(closed)).status, 403)
  assert.equal((await ask(closed, { 'e2b-traffic-access-token': token() })).json.host, 'app.internal:8000')
  const refused = await api('PUT', `/sandboxes/${closed.sandboxId}/network`, { body: { allowPublicTraffic: false } })
  assert.equal(refused.status, 400)
  assert.match(refused.json.message, /allowPublicTraffic.*when it is created/)
})
