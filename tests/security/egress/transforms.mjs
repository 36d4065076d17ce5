// SPDX-License-Identifier: Apache-2.0
// transforms.mjs DIR: runs in the network namespace that reads_a_header_that_is_set_for_it.mjs has made. Prints {"name", "error"} for each flow.
import { readFileSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Instance, leftoversAfterAMoment } from '../../lib/instance.mjs'
import { pids, until } from '../../lib/host.mjs'
import { Sandbox, http } from '../../lib/sdk.mjs'

const dir = process.argv[2]
const ask = readFileSync(join(import.meta.dirname, 'ask.py'), 'utf8')
const SECRET = `secret-${randomBytes(12).toString('hex')}`
const SECOND = `second-${randomBytes(12).toString('hex')}`

function say(name, error) {
  console.log(JSON.stringify({ name, error }))
}
async function check(name, fn) {
  try {
    await fn()
    say(name, null)
  } catch (e) {
    say(name, e.message || String(e))
  }
}
function expect(value, pattern) {
  if (pattern instanceof RegExp ? !pattern.test(value) : value !== pattern) throw new Error(`got '${String(value).slice(0, 600)}', expected ${pattern}`)
}

// Requests that the servers have seen, by the path in them.
const arrived = () => readFileSync(join(dir, 'origin.log'), 'utf8').split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
const seen = (path) => arrived().filter((r) => r.line.includes(` ${path} `))
const values = (r, name) => r.headers.filter(([k]) => k.toLowerCase().replaceAll('_', '-') === name).map(([, v]) => v)

const instance = await Instance.start({ args: ['--internet', 'allow', '--net-dns', '9.9.9.53'] })
const sandboxes = []
async function create(options = {}) {
  const s = await Sandbox.create({ ...instance.sdk, timeoutMs: 300000, ...options })
  sandboxes.push(s)
  instance.ids.add(s.sandboxId)
  await s.files.write('/tmp/ask.py', ask)
  return s
}
const api = (method, path, body) => http(method, path, { url: instance.url, headers: { 'X-API-Key': instance.key }, body })
let file = 0
async function asks(sandbox, list) {
  const path = `/tmp/ask-${file++}.json`
  await sandbox.files.write(path, JSON.stringify(list))
  return JSON.parse((await sandbox.commands.run(`python3 /tmp/ask.py ${path}`, { timeoutMs: 120000 })).stdout)
}
// Flows [name, expected, flow], or with a function as the fourth that looks at what has arrived.
async function flows(sandbox, prefix, list) {
  const got = await asks(sandbox, list.map(([, , f]) => f))
  for (const [i, [name, pattern, , look]] of list.entries())
    await check(`${prefix}: ${name}`, async () => {
      expect(got[i], pattern)
      if (look) await look()
    })
}
const url = (u, more = {}) => ({ kind: 'url', url: u, ...more })
const raw = (to, port, ...sayings) => ({ kind: 'raw', to, port, say: sayings })
const tls = (to, sni, ...sayings) => ({ kind: 'raw', to, port: 443, sni, say: sayings })
const get = (host, path, more = '') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const once = (path, value, name = 'authorization') => () => {
  const r = seen(path)
  if (r.length !== 1) throw new Error(`${r.length} requests for ${path} arrived`)
  expect(JSON.stringify(values(r[0], name)), JSON.stringify([value]))
}
const without = (path) => () => {
  for (const r of seen(path)) if (JSON.stringify(r).includes('secret-')) throw new Error('it arrived')
}
const never = (path) => () => expect(seen(path).length, 0)

const rules = (value) => ({ 'api.example': [{ transform: { headers: { Authorization: `Bearer ${value}`, 'X-Api-Key': value } } }] })
const names = ['api.example', 'other.example', 'selfsigned.example', 'wrong.example', 'silent.example', 'old.example']
const bearer = `Bearer ${SECRET}`

async function plainHttp(closed, open, none) {
  await flows(closed, 'http', [
    ['the header arrives', '200 served by 9.9.9.21', url('http://api.example/h1'), once('/h1', bearer)],
    ['the client\'s own header of that name does not', '200 served by 9.9.9.21', url('http://api.example/h2', { headers: { Authorization: 'mine', X_Api_Key: 'mine' } }),
      () => { once('/h2', bearer)(); once('/h2', SECRET, 'x-api-key')() }],
    ['each request of a connection has it', '200 18; 200 18; 200 18', { kind: 'many', host: 'api.example', paths: ['/h3', '/h3', '/h3'] },
      () => expect(seen('/h3').map((r) => values(r, 'authorization')).join(), [bearer, bearer, bearer].join())],
    ['with bodies between them', '200 18; 200 18', { kind: 'many', host: 'api.example', paths: ['/h4', '/h4'], body: 'x'.repeat(100000) },
      () => expect(seen('/h4').map((r) => `${values(r, 'authorization')} ${r.body}`).join(), `${bearer} 100000,${bearer} 100000`)],
    ['another host does not get it', '200 served by 9.9.9.22', url('http://other.example/h5'), without('/h5')],
    ['nor does the host that it is redirected to', '200 served by 9.9.9.22', url('http://api.example/redirect'), without('/landed')],
    ['a second request to another host is refused', /^HTTP\/1.1 200[^|]*\|closed$|^ConnectionReset/, raw('9.9.9.21', 80, get('api.example', '/h6'), get('other.example', '/h7')), never('/h7')],
    ['another name of the same server is refused', /ConnectionReset|\|closed/, raw('9.9.9.21', 80, get('shared.example', '/h8')), never('/h8')],
    ['the name at another server is refused', /ConnectionReset|\|closed/, raw('9.9.9.22', 80, get('api.example', '/h9')), never('/h9')],
    ['two lengths are refused', /ConnectionReset|^\|closed/, raw('9.9.9.21', 80, `POST /h10 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get('api.example', '/h11')}`), () => { never('/h10')(); never('/h11')() }],
    ['TRACE, which would show it, is refused', /ConnectionReset|^\|closed/, raw('9.9.9.21', 80, 'TRACE /h12 HTTP/1.1\r\nHost: api.example\r\n\r\n'), never('/h12')],
    ['having it thrown away on the way is refused', /ConnectionReset|^\|closed/, raw('9.9.9.21', 80, get('api.example', '/h13', 'Connection: close, authorization\r\n')), never('/h13')],
    ['a pipeline is cut into its requests', /200 OK[^|]*200 OK/, raw('9.9.9.21', 80, get('api.example', '/h14') + get('api.example', '/h14')),
      () => expect(seen('/h14').map((r) => values(r, 'authorization')).join(), [bearer, bearer].join())],
    ['a WebSocket has it and is a tunnel then', /101 Switching[^|]*echo ping/, raw('9.9.9.21', 80, get('api.example', '/h15', 'Connection: upgrade\r\nUpgrade: websocket\r\n'), 'ping'), once('/h15', bearer)],
    ['five megabytes come back whole', '200 5000000', { kind: 'many', host: 'api.example', paths: ['/large'] }],
  ])
  await flows(open, 'http, all allowed', [
    ['the header arrives', '200 served by 9.9.9.21', url('http://api.example/o1'), once('/o1', bearer)],
    ['another name of the same server passes without it', /200 OK/, raw('9.9.9.21', 80, get('shared.example', '/o2')), without('/o2')],
    ['something else than HTTP passes without it', /\|closed|\|open/, raw('9.9.9.21', 80, 'SSH-2.0-x\r\n'), without('/o3')],
    ['another host passes without it', '200 served by 9.9.9.22', url('http://other.example/o4'), without('/o4')],
  ])
  await flows(none, 'http, control', [['without a rule nothing is set', '200 served by 9.9.9.21', url('http://api.example/n1'), without('/n1')]])
}

async function run() {
  const denyOut = ['0.0.0.0/0']
  const closed = await create({ network: { allowOut: names, denyOut, rules: rules(SECRET) } })
  const open = await create({ network: { rules: rules(SECRET) } })
  const none = await create({ network: { allowOut: names, denyOut } })
  await asks(closed, names.map((n) => url(`http://${n}:81/`)).slice(0, 2)) // their addresses are known then
  await plainHttp(closed, open, none)
  await check('the value is in no answer of the API', async () => {
    const info = await api('GET', `/sandboxes/${closed.sandboxId}`)
    expect(JSON.stringify(info.json.network.rules), JSON.stringify(rules('***')).replace('Bearer ***', '***'))
    if (info.text.includes(SECRET) || (await api('GET', '/v2/sandboxes')).text.includes(SECRET)) throw new Error('it is')
  })
}

let failed = 0
try {
  await run()
} catch (e) {
  failed = 1
  console.error(e.stack, '\n', instance.logText().slice(-4000))
}
for (const s of sandboxes) await s.kill().catch(() => {})
const end = await instance.stop()
await check('firebreak up ends with 0', async () => expect(end.code, 0))
await check('no value is in a log', async () => {
  for (const v of [SECRET, SECOND]) if (instance.logText().includes(v)) throw new Error('it is')
})
await check('no table and no interface is left', async () => {
  const left = await leftoversAfterAMoment(instance)
  const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout.trim()
  if (left.length || tables) throw new Error([left.join('; '), tables].join(' | '))
})
if (process.env.KEEP) writeFileSync(join(dir, 'up.log'), instance.logText())
instance.forget()
process.exit(failed)
