// SPDX-License-Identifier: Apache-2.0
// flows.mjs DIR: runs in the network namespace that escapes_through_the_network.mjs has made. Starts an instance, makes sandboxes with policies, runs
// probe.py in them, and prints {"name", "error"} for each flow. What a flow must give is exact: the words of the server that it reached, or the name
// of the refusal.
import { readFileSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Instance, leftoversAfterAMoment } from '../../lib/instance.mjs'
import { monitorPid, until } from '../../lib/host.mjs'
import { Sandbox, http } from '../../lib/sdk.mjs'

const dir = process.argv[2]
const probe = readFileSync(join(import.meta.dirname, 'probe.py'), 'utf8')
const REFUSED = /^refused$/ // TCP: a reset instead of an answer to SYN
const PROHIBITED = /^prohibited$/ // ICMP: administratively prohibited
const CUT = /^(reset|closed)$/
const results = []

function say(name, error) {
  results.push({ name, error })
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
  if (pattern instanceof RegExp ? !pattern.test(value) : value !== pattern) throw new Error(`got '${value}', expected ${pattern}`)
}

// Runs flows [name, expected, flow] in a sandbox, each of them by itself.
async function flows(sandbox, prefix, list) {
  // The kernel sends one sandbox one ICMP message a second, after a few: each refusal that is expected to be seen waits for its own.
  const got = await attempt(sandbox, list.map(([, p, f]) => (p === PROHIBITED ? { ...f, pause: 1.1 } : f)))
  list.forEach(([name, pattern], i) => {
    let error = null
    try {
      expect(got[i], pattern)
    } catch (e) {
      error = e.message
    }
    say(`${prefix}: ${name}`, error)
  })
}
let file = 0
async function attempt(sandbox, list) {
  const path = `/tmp/flows-${file++}.json`
  await sandbox.files.write(path, JSON.stringify(list))
  const r = await sandbox.commands.run(`python3 /tmp/probe.py ${path}`, { timeoutMs: 120000 })
  return JSON.parse(r.stdout)
}
const one = async (sandbox, flow) => (await attempt(sandbox, [flow]))[0]

const tcp = (to, port, more = {}) => ({ kind_of: 'tcp', to, port, ...more })
const udp = (to, port, more = {}) => ({ kind_of: 'udp', to, port, ...more })
const tls = (to, sni, more = {}) => ({ kind_of: 'tls', to, port: 443, sni, ...more })
const get = (host, more = '') => `GET / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const web = (to, ...requests) => ({ kind_of: 'http', to, port: 80, requests })
const name = (n, more = {}) => ({ kind_of: 'dns', name: n, ...more })
const meta = (path, more = {}) => ({ kind_of: 'metadata', path, ...more })
const arrived = (mode, text) => readFileSync(join(dir, `${mode}.log`), 'utf8').includes(text)
const nft = (text) => {
  const r = spawnSync('nft', ['-f', '-'], { input: text, encoding: 'utf8' })
  if (r.status !== 0) throw new Error(`nft: ${r.stderr}`)
}

// A ClientHello with an encrypted one in it (extension 0xfe0d) under the name of an allowed host.
function encryptedHello(sni) {
  const u16 = (n) => Buffer.from([n >> 8, n & 255])
  const ext = (type, body) => Buffer.concat([u16(type), u16(body.length), body])
  const n = Buffer.from(sni)
  const list = Buffer.concat([u16(n.length + 3), Buffer.from([0]), u16(n.length), n])
  const exts = Buffer.concat([ext(0, list), ext(0xfe0d, Buffer.from([0, 0, 1, 2]))])
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 7), Buffer.from([0, 0, 2, 0x13, 1, 1, 0]), u16(exts.length), exts])
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body])
  return Buffer.concat([Buffer.from([0x16, 3, 1]), u16(message.length), message]).toString('hex')
}

const instance = await Instance.start({ args: ['--internet', 'allow', '--net-dns', '9.9.9.53', '--net-conns', '60', '--net-bytes', '1000000'] })
const sandboxes = []
async function create(options = {}) {
  const s = await Sandbox.create({ ...instance.sdk, timeoutMs: 300000, ...options })
  sandboxes.push(s)
  instance.ids.add(s.sandboxId)
  await s.files.write('/tmp/probe.py', probe)
  return s
}
const api = (method, path, body) => http(method, path, { url: instance.url, headers: { 'X-API-Key': instance.key }, body })
const table = `firebreak_${instance.name}`

async function run() {
  const allowOut = ['good.example', '*.wild.example', 'cdn.example', 'alias.example', 'rebind.example', 'rebind2.example', 'rebind3.example',
    'hosted.example', 'mixed.example', 'sandbox.example', 'huge.example', 'tcp:git.example:22', '9.9.9.10', 'tcp:9.9.9.11:8080', 'udp:9.9.9.11:5000', 'cut.example']
  const closed = await create({ network: { allowOut, denyOut: ['0.0.0.0/0'] }, metadata: { owner: 'grün', 'a/b': 'slash' } })
  const open = await create({ network: { denyOut: ['9.9.9.3', '8.8.0.0/16'] } })
  const none = await create({ allowInternetAccess: false })
  const addressOf = (s) => one(s, { kind_of: 'resolve', name: 'unused.invalid' }).then(() => s.commands.run('hostname -I 2>/dev/null || cat /proc/net/fib_trie')).then((r) => /198\.1[89]\.\d+\.(?!1\b)\d+/.exec(r.stdout)[0])
  const openAddress = await addressOf(open)
  // A service that outlives the API's death below.
  await open.files.write('/tmp/serve.py', `import os, socket
s = socket.create_server(("0.0.0.0", 8080))
if os.fork(): os._exit(0)
os.setsid()
while True:
    c, _ = s.accept()
    c.sendall(b"hello from a sandbox")
    c.close()
`)
  await open.commands.run('python3 /tmp/serve.py >/dev/null 2>&1 </dev/null')
  await check('sandbox: a service in a sandbox is there', async () => expect(await one(open, tcp('127.0.0.1', 8080)), 'hello from a sandbox'))

  await flows(closed, 'names', [
    ['an allowed name is resolved', '9.9.9.2', { kind_of: 'resolve', name: 'good.example' }],
    ['a name below a wildcard is resolved', '9.9.9.5', { kind_of: 'resolve', name: 'a.wild.example' }],
    ['also two levels below', '9.9.9.5', { kind_of: 'resolve', name: 'b.a.wild.example' }],
    ['the wildcard does not hold for the name itself', 'refused', name('wild.example')],
    ['a name that is not allowed is refused', 'refused', name('evil.example')],
    ['a name below an allowed one is refused', 'refused', name('www.good.example')],
    ['an alias that leads to a name that is not allowed opens only itself', 'ok 9.9.9.9', name('alias.example')],
    ['the alias\'s target is refused', 'refused', name('target.evil.example')],
    ['W01 metadata.google.internal is refused', 'refused', name('metadata.google.internal')],
    ['an answer with a private address is refused', 'refused', name('rebind.example')],
    ['an answer with the metadata address is refused', 'refused', name('rebind2.example')],
    ['an answer with a loopback address is refused', 'refused', name('rebind3.example')],
    ['an answer with a sandbox\'s address is refused', 'refused', name('sandbox.example')],
    ['of a mixed answer the public address remains', 'ok 9.9.9.6', name('mixed.example')],
    ['an answer that does not fit a datagram is asked for over TCP', /^ok 9.9.9.27( 9.9.9.27)*$/, name('huge.example')],
    ['W09 TXT is refused', 'refused', name('good.example', { kind: 16 })],
    ['W09 NULL is refused', 'refused', name('good.example', { kind: 10 })],
    ['W09 ANY is refused', 'refused', name('good.example', { kind: 255 })],
    ['W09 long labels of a name that is not allowed are refused', 'refused', name(`${'x'.repeat(60)}.${'y'.repeat(60)}.evil.example`)],
    ['W06 AAAA is empty', 'ok', name('good.example', { kind: 28 })],
    ['HTTPS records are empty', 'ok', name('good.example', { kind: 65 })],
    ['names are resolved over TCP, too', 'ok 9.9.9.2', name('good.example', { stream: true })],
    ['and refused over TCP', 'refused', name('evil.example', { stream: true })],
    ['a name in capitals is the same name', 'ok 9.9.9.2', name('GOOD.Example')],
    ['W09 direct DNS to a public server over UDP', PROHIBITED, name('good.example', { to: '8.8.8.8' })],
    ['W09 direct DNS to a public server over TCP', REFUSED, name('good.example', { to: '8.8.8.8', stream: true })],
  ])
  await check('W09: nothing of what was refused was asked upstream', async () => {
    for (const text of ['evil.example', 'y'.repeat(60), 'dns good.example 16', 'dns good.example 10', 'metadata.google'])
      if (arrived('world', `dns ${text}`) || arrived('world', text.startsWith('dns') ? text : `${text} 1`)) throw new Error(`${text} arrived`)
  })

  await attempt(closed, ['good', 'cdn', 'alias', 'mixed', 'git', 'hosted', 'cut'].map((n) => name(`${n}.example`)))
  await flows(closed, 'tls', [
    ['an allowed name at its address', 'tls good.example', tls('9.9.9.2', 'good.example')],
    ['W: a name that is not allowed at the address of an allowed one', CUT, tls('9.9.9.2', 'evil.example')],
    ['another name of the same server', CUT, tls('9.9.9.4', 'evil-on-cdn.example')],
    ['an allowed name at the address of another allowed one', CUT, tls('9.9.9.4', 'good.example')],
    ['an allowed name at an address that it never had', REFUSED, tls('9.9.9.3', 'good.example')],
    ['no name', CUT, tls('9.9.9.2', undefined)],
    ['an encrypted name', CUT, tcp('9.9.9.2', 443, { say: encryptedHello('good.example') })],
    ['no TLS at all', CUT, tcp('9.9.9.2', 443, { say: Buffer.from('SSH-2.0-x\r\n').toString('hex') })],
    ['HTTP on the port of TLS', CUT, { ...web('9.9.9.2', get('good.example')), port: 443 }],
    ['an address before its name was asked for', REFUSED, tls('9.9.9.13', 'good.example')],
  ])
  await flows(closed, 'http', [
    ['an allowed name at its address', '200 http good.example', web('9.9.9.2', get('good.example'))],
    ['two requests on one connection', '200 http good.example; 200 http good.example:80', web('9.9.9.2', get('good.example'), get('good.example:80'))],
    ['a Host that is not allowed', CUT, web('9.9.9.2', get('evil.example'))],
    ['W: a second request with another Host', /^200 http good.example; (reset|closed)$/, web('9.9.9.2', get('good.example'), get('evil.example'))],
    ['a second request behind a body', /^200 http good.example; (reset|closed)$/,
      web('9.9.9.2', `POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 3\r\n\r\nabc`, get('evil.example'))],
    ['a request smuggled behind a body of two lengths', CUT,
      web('9.9.9.2', `POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get('evil.example')}`)],
    ['two Hosts', CUT, web('9.9.9.2', 'GET / HTTP/1.1\r\nHost: good.example\r\nHost: evil.example\r\n\r\n')],
    ['a target with a host of its own', CUT, web('9.9.9.2', 'GET http://evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n')],
    ['a change of protocol that nobody agrees to', /^200 http good.example; (reset|closed)$/,
      web('9.9.9.2', get('good.example', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), get('evil.example'))],
    ['TLS on the port of HTTP', CUT, { ...tls('9.9.9.2', 'good.example'), port: 80 }],
  ])
  await check('http, tls: what was refused never reached a server', async () => {
    for (const text of ['evil.example\'', 'evil-on-cdn', "http [b'evil", 'tcp 9.9.9.3:', 'tcp 9.9.9.13:']) if (arrived('world', text)) throw new Error(`${text} arrived`)
  })
  await flows(closed, 'ports', [
    ['another TCP port of an allowed name', /^hello from 9.9.9.2:8080/, tcp('9.9.9.2', 8080)],
    ['UDP of an allowed name', 'echo x', udp('9.9.9.2', 123)],
    ['W10 QUIC to an allowed name, whose name nobody sees', PROHIBITED, udp('9.9.9.2', 443)],
    ['a name with a port, there', /^hello from 9.9.9.7:22/, tcp('9.9.9.7', 22)],
    ['a name with a port, elsewhere', REFUSED, tcp('9.9.9.7', 8080)],
    ['a name with a port, at 443', REFUSED, tls('9.9.9.7', 'git.example')],
    ['an allowed address', /^hello from 9.9.9.10:25/, tcp('9.9.9.10', 25)],
    ['TLS under any name to an allowed address', 'tls whatever.example', tls('9.9.9.10', 'whatever.example')],
    ['QUIC to an allowed address', 'echo x', udp('9.9.9.10', 443)],
    ['an allowed port of an address', /^hello from 9.9.9.11:8080/, tcp('9.9.9.11', 8080)],
    ['another port of it', REFUSED, tcp('9.9.9.11', 22)],
    ['an allowed UDP port of it', 'echo x', udp('9.9.9.11', 5000)],
    ['another UDP port of it', PROHIBITED, udp('9.9.9.11', 123)],
    ['TCP where only UDP is allowed', REFUSED, tcp('9.9.9.11', 5432)],
    ['a direct address', REFUSED, tcp('9.9.9.3', 8080)],
    ['a direct address over UDP', PROHIBITED, udp('9.9.9.3', 5000)],
    ['W09 DoT', REFUSED, tcp('1.1.1.1', 853)],
    ['W09 DoH by address', REFUSED, tls('1.1.1.1', 'cloudflare-dns.com')],
    ['W10 ICMP', PROHIBITED, { kind_of: 'ping', to: '9.9.9.10' }],
    ['W10 raw sockets', 'EPERM', { kind_of: 'protocol', type: 3, number: 47, to: '9.9.9.10', port: 0 }],
    ['W10 SCTP', /^(EPERM|EPROTONOSUPPORT|ESOCKTNOSUPPORT|timeout)$/, // it takes ICMP for a hint
      { kind_of: 'protocol', type: 1, number: 132, to: '9.9.9.10', port: 80 }],
  ])
  const special = (s) => flows(s, s === open ? 'special, all allowed' : 'special', [
    ['W01 the metadata service of the host\'s network', REFUSED, tcp('169.254.169.254', 8080)],
    ['W01 over UDP', PROHIBITED, udp('169.254.169.254', 5000)],
    ['W01 as an IPv4-mapped address', REFUSED, tcp('::ffff:169.254.169.254', 8080)],
    ['W01 in NAT64', /^(unreachable|EADDRNOTAVAIL)$/, tcp('64:ff9b::a9fe:a9fe', 80)],
    ['W01 the IPv6 metadata address', /^(unreachable|EADDRNOTAVAIL)$/, tcp('fd00:ec2::254', 80)],
    ['W06 IPv6', /^(unreachable|EADDRNOTAVAIL)$/, tcp('2001:4860:4860::8888', 53)],
    ['W03 the LAN', REFUSED, tcp('10.77.0.1', 8080)],
    ['W03 the LAN over UDP', PROHIBITED, udp('10.77.0.1', 5000)],
    ['W03 172.16/12', REFUSED, tcp('172.20.0.1', 8080)],
    ['W03 CGNAT', REFUSED, tcp('100.64.0.9', 8080)],
    ['W03 documentation', REFUSED, tcp('198.51.100.9', 8080)],
    ['W03 documentation, too', REFUSED, tcp('192.0.2.9', 8080)],
    ['W03 multicast, to which nobody may answer', 'timeout', udp('224.0.0.251', 5000, { limit: 1 })],
    ['W03 240/4', /^(refused|EINVAL|unreachable)$/, tcp('240.0.0.1', 80)],
    ['W03 0/8', /^(refused|EINVAL|unreachable)$/, tcp('0.1.2.3', 80)],
    ['W02 the host\'s public address', REFUSED, tcp('9.9.9.1', 2222)],
    ['W02 the host\'s LAN address', REFUSED, tcp('10.77.0.254', 2222)],
    ['W02 the gateway', REFUSED, tcp(gateway, 2222)],
    ['W02 the resolver\'s own port on the gateway', REFUSED, tcp(gateway, 1053)],
    ['W02 the proxy\'s own port on the gateway', REFUSED, tcp(gateway, 1443)],
    ['W02 the gateway over UDP', PROHIBITED, udp(gateway, 1053)],
    ['W02 the API on the host\'s loopback', REFUSED, tcp('127.0.0.1', instance.port)],
    ['W02 a ping to the gateway', PROHIBITED, { kind_of: 'ping', to: gateway }],
    ['W05 another sandbox', REFUSED, tcp(s === open ? closedAddress : openAddress, 8080)],
    ['W05 another sandbox\'s agent', REFUSED, tcp(s === open ? closedAddress : openAddress, 49983)],
    ['W05 another sandbox over UDP', PROHIBITED, udp(s === open ? closedAddress : openAddress, 5000)],
  ])
  const closedAddress = await addressOf(closed)
  const gateway = openAddress.replace(/\d+$/, '1')
  const services = [['9.9.9.1', 2222], ['10.77.0.254', 2222], [gateway, 2222]].map(([a, p]) => serveOn(a, p))
  await special(closed)
  await special(open)
  await flows(closed, 'host', [['W02 a name that leads to the host\'s own address, TLS', REFUSED, tls('9.9.9.1', 'hosted.example')],
    ['W02 the same, another port', REFUSED, tcp('9.9.9.1', 2222)]])
  await check('special: nothing arrived', async () => {
    for (const text of ['10.77.0.1:', '169.254.169.254:']) if (arrived('plain', text)) throw new Error(`${text} arrived`)
    for (const text of ['172.20.0.1:', '100.64.0.9:', '198.51.100.9:', '192.0.2.9:']) if (arrived('world', text)) throw new Error(`${text} arrived`)
  })

  await flows(open, 'all allowed', [
    ['any name is resolved', '9.9.9.8', { kind_of: 'resolve', name: 'open.example' }],
    ['a name that does not exist', 'nxdomain', name('nothing.example')],
    ['any TLS', 'tls anything', tls('9.9.9.8', 'anything')],
    ['any port', /^hello from 9.9.9.8:5432/, tcp('9.9.9.8', 5432)],
    ['any UDP', 'echo x', udp('9.9.9.8', 5000)],
    ['a denied address', REFUSED, tcp('9.9.9.3', 8080)],
    ['a denied network', PROHIBITED, name('open.example', { to: '8.8.8.8' })],
    ['rebinding', 'refused', name('rebind2.example')],
  ])
  await flows(none, 'no network', [
    ['an address', 'unreachable', tcp('9.9.9.2', 8080)],
    ['the metadata service', 'unreachable', tcp('169.254.169.254', 80)],
    ['a name', 'refused', { kind_of: 'resolve', name: 'good.example' }],
  ])

  // W04: root of the host lends the sandbox another address, which it could not take by itself.
  const inSandbox = (...args) => spawnSync('nsenter', ['-t', String(monitorPid(closed.sandboxId)), '-n', ...args], { encoding: 'utf8' })
  inSandbox('ip', 'addr', 'add', openAddress, 'dev', 'lo')
  inSandbox('ip', 'addr', 'add', '9.9.9.77', 'dev', 'lo')
  await flows(closed, 'spoofing', [
    ['W04 with another sandbox\'s address', 'timeout', tcp('9.9.9.10', 8080, { source: openAddress, limit: 1 })],
    ['W04 with a foreign address', 'timeout', udp('9.9.9.10', 5000, { source: '9.9.9.77', limit: 1 })],
    ['its own address goes on to work', /^hello/, tcp('9.9.9.10', 8080)],
  ])
  inSandbox('ip', 'addr', 'del', openAddress, 'dev', 'lo')
  await check('W04: counted as spoofed', async () => {
    const text = (await api('GET', '/metrics')).text
    if (!(Number(/firebreak_egress_denied_total\{why="spoofed"\} (\d+)/.exec(text)?.[1]) >= 2)) throw new Error('the counter did not rise')
  })

  const token = (await one(closed, meta('/latest/api/token', { method: 'PUT', headers: { 'X-metadata-token-ttl-seconds': '60' }, body: true }))).split(' ')[1]
  const mine = { 'X-metadata-token': token }
  const otherToken = (await one(open, meta('/latest/api/token', { method: 'PUT', headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '60' }, body: true }))).split(' ')[1]
  await flows(closed, 'metadata', [
    ['R32 without a token', '401', meta('/latest/meta-data')],
    ['R32 a token of another sandbox', '401', meta('/latest/meta-data', { headers: { 'X-metadata-token': otherToken } })],
    ['R32 the list', '200 metadata/\nsandbox-id\ntemplate', meta('/latest/meta-data/', { headers: mine, body: true })],
    ['R32 its id', `200 ${closed.sandboxId}`, meta('/latest/meta-data/sandbox-id', { headers: { 'X-aws-ec2-metadata-token': token }, body: true })],
    ['R32 as JSON', `200 {"sandbox-id":"${closed.sandboxId}","template":"base","metadata":{"owner":"grün","a/b":"slash"}}`,
      meta('/latest/meta-data', { headers: { ...mine, Accept: 'application/json' }, body: true })],
    ['R32 the creator\'s metadata', '200 grün', meta('/latest/meta-data/metadata/owner', { headers: mine, body: true })],
    ['R32 a key with a slash', '200 slash', meta('/latest/meta-data/metadata/a%2Fb', { headers: mine, body: true })],
    ['R32 what is not there', '404', meta('/latest/user-data', { headers: mine })],
    ['R32 another verb', '405 Allow: GET', meta('/latest/meta-data', { method: 'DELETE', headers: mine })],
    ['R32 another verb at the token', '405 Allow: PUT', meta('/latest/api/token')],
    ['R32 no lifetime', '400', meta('/latest/api/token', { method: 'PUT' })],
    ['R32 too long a lifetime', '400', meta('/latest/api/token', { method: 'PUT', headers: { 'X-metadata-token-ttl-seconds': '21601' } })],
    ['R32 behind a proxy', '400', meta('/latest/api/token', { method: 'PUT', headers: { 'X-metadata-token-ttl-seconds': '60', 'X-Forwarded-For': '1.2.3.4' } })],
    ['R32 a broken head', '400', meta('/latest/meta-data\r\nX: y', { headers: mine })],
  ])

  await flows(open, 'floods', [
    ['W09 a thousand unique names in a second are not answered', /^([1-9]|[1-9]\d|1\d\d)$/, { kind_of: 'flood', n: 1000, suffix: '.tunnel.example' }],
    ['W14 connections end at the limit', /^(5\d|60) then refused$/, { kind_of: 'many', n: 100, to: '9.9.9.8', port: 8080 }],
  ])
  const overLimit = async () => Number(/firebreak_egress_denied_total\{why="limit"\} (\d+)/.exec((await api('GET', '/metrics')).text)[1])
  const before = await overLimit()
  await flows(open, 'floods', [['W15 thirty megabytes at once', 'sent', { kind_of: 'blast', n: 20000, to: '9.9.9.8', port: 5000 }]])
  await check('floods: W15 most of them were dropped', async () => {
    const dropped = (await overLimit()) - before
    if (dropped < 5000) throw new Error(`only ${dropped}`)
  })
  const remembered = () => Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'utf8'))
  const had = remembered()
  const churned = Number(await one(open, { kind_of: 'churn', n: 3000, to: '9.9.9.8', port: 8080 }))
  await check('floods: W14 connections that are closed again are bounded, too', async () => {
    const has = remembered()
    const share = Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8')) / 8
    if (!(churned > 200 && churned < 2900)) throw new Error(`${churned} of 3000`) // more than its 60 at once: the kernel does not count these as open
    if (!(has - had > 100 && has - had < share)) throw new Error(`the kernel remembers ${has}, ${had} before`)
  })
  await check('bytes: of each sandbox are told apart', async () => {
    const text = (await api('GET', '/metrics')).text
    const bytes = (s, way) => Number(new RegExp(`firebreak_egress_sandbox_bytes\\{sandbox="${s.sandboxId}",direction="${way}"\\} (\\d+)`).exec(text)?.[1])
    if (!(bytes(open, 'up') > 1000000 && bytes(open, 'down') > 10000 && bytes(closed, 'up') > 1000 && bytes(closed, 'up') < bytes(open, 'up')))
      throw new Error(`${bytes(open, 'up')} ${bytes(open, 'down')} ${bytes(closed, 'up')}`)
    expect((text.match(/^firebreak_egress_sandbox_bytes\{/gm) ?? []).length, 4)
  })
  await flows(closed, 'neighbour', [['is not touched by another\'s floods', 'tls good.example', tls('9.9.9.2', 'good.example')]])

  // After an update.
  await closed.commands.run(`cat >/tmp/hold.py <<'E'
import socket, ssl, sys, time
to, port, sni = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
s = socket.create_connection((to, port), 3)
if sni:
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
    s = c.wrap_socket(s, server_hostname=sni)
s.recv(200); print("open", flush=True); s.settimeout(3)
try:
    for i in range(40):
        s.sendall(b"x"); got = s.recv(100); time.sleep(0.2)
        if not got: print("closed", flush=True); break
    else: print("lived", flush=True)
except OSError as e: print(type(e).__name__, flush=True)
E`)
  const hold = async (...args) => {
    let out = ''
    const command = await closed.commands.run(`python3 /tmp/hold.py ${args.join(' ')}`, { background: true, onStdout: (d) => (out += d) })
    await until('a held connection', 5000, () => out.includes('open'))
    return { command, text: () => out }
  }
  const direct = await hold('9.9.9.10', 8080)
  const named = await hold('9.9.9.12', 443, 'cut.example')
  const kept = await hold('9.9.9.2', 443, 'good.example')
  const put = await api('PUT', `/sandboxes/${closed.sandboxId}/network`, { allowOut: ['good.example'], denyOut: ['0.0.0.0/0'] })
  await check('update: is answered 204', async () => expect(put.status, 204))
  await check('update: a connection to an address that is not allowed any more ends', async () => {
    await until('it to end', 8000, () => /Error|closed/.test(direct.text()))
  })
  await check('update: a connection under a name that is not allowed any more ends', async () => {
    await until('it to end', 8000, () => /Error|closed/.test(named.text()))
  })
  await check('update: a connection that is still allowed lives', async () => {
    await until('it to live', 20000, () => /lived|Error|closed/.test(kept.text()))
    if (!kept.text().includes('lived')) throw new Error(kept.text())
  })
  await flows(closed, 'update', [
    ['an address that is not allowed any more', REFUSED, tcp('9.9.9.10', 8080)],
    ['a name that is not allowed any more', 'refused', name('cut.example')],
    ['its address, still fresh', REFUSED, tls('9.9.9.12', 'cut.example')],
    ['its address, another port', REFUSED, tcp('9.9.9.12', 8080)],
    ['what is still allowed', 'tls good.example', tls('9.9.9.2', 'good.example')],
  ])
  await check('update: GET tells it', async () => {
    const info = (await api('GET', `/sandboxes/${closed.sandboxId}`)).json
    expect(JSON.stringify(info.network), '{"allowOut":["good.example"],"denyOut":["0.0.0.0/0"]}')
    expect(info.isolation.network, 'own interface, filtered by netd')
  })
  await api('PUT', `/sandboxes/${none.sandboxId}/network`, {})
  await flows(none, 'update', [['a sandbox without a network gets one', /^hello/, tcp('9.9.9.8', 8080)]])

  // Events.
  await check('events: a refusal is in the log, with its reason', async () => {
    const log = instance.logText()
    for (const why of ['policy', 'special', 'host', 'sandbox', 'spoofed', 'protocol', 'name', 'qtype', 'rate', 'rebind', 'sni', 'limit'])
      if (!new RegExp(`event=egress_denied sandbox=i\\w+ dst=\\S+ port=\\d+ proto=\\w+ why=${why}`).test(log)) throw new Error(`none for ${why}`)
  })
  await check('events: a flood does not fill the log', async () => {
    const n = instance.logText().split('\n').filter((l) => l.includes('why=rate')).length
    if (n > 60) throw new Error(`${n} lines`)
  })

  // check-invariants, with faults that are planted in the kernel.
  const broken = () => {
    const r = instance.cli(['check-invariants', '--json'])
    if (r.code > 1) throw new Error(r.stderr)
    return JSON.parse(r.stdout).invariants.filter((x) => !x.holds).map((x) => `${x.id}: ${x.evidence.join('; ')}`).join('\n')
  }
  const fault = (invariant, plant, mend) => check(`invariants: ${invariant} is seen, and no other`, async () => {
    await until('all to hold before', 10000, () => broken() === '')
    plant()
    try {
      expect(broken(), new RegExp(`^${invariant}: [^\\n]+$`))
    } finally {
      mend()
    }
    await until('all to hold again', 10000, () => broken() === '')
  })
  const names = spawnSync('ip', ['-br', 'link'], { encoding: 'utf8' }).stdout.split('\n').map((l) => l.split('@')[0]).filter((n) => /^fb[0-9a-f]{6}\./.test(n))
  const ghost = `${names[0].split('.')[0]}.499`
  const link = (...args) => {
    const r = spawnSync('ip', ['link', ...args], { encoding: 'utf8' })
    if (r.status !== 0) throw new Error(`ip link ${args.join(' ')}: ${r.stderr}`)
  }
  const element = (verb, set, value) => nft(`${verb} element inet ${table} ${set} { ${value} }`)
  await fault('element_has_interface', () => element('add', 'src', `"${ghost}" . 198.18.0.77`), () => element('delete', 'src', `"${ghost}" . 198.18.0.77`))
  for (const set of ['down', 'pin_any', 'open', 'pin_port']) {
    const value = { down: '198.18.0.77', pin_any: '198.18.0.77 . 9.9.9.9', open: '198.18.0.77 . 9.9.9.0-9.9.9.255 . 6 . 0-65535', pin_port: '198.18.0.77 . 9.9.9.9 . 6 . 22' }[set]
    await fault('element_has_interface', () => element('add', set, value), () => element('delete', set, value))
  }
  await fault('interface_has_record', () => {
    link('add', ghost, 'type', 'veth', 'peer', 'name', 'ghost')
    link('set', ghost, 'alias', 'ighostghostghostghos')
  }, () => link('del', ghost))
  await fault('interface_has_element', () => element('delete', 'down', openAddress), () => element('add', 'down', openAddress))
  const its = names.find((n) => spawnSync('ip', ['link', 'show', n], { encoding: 'utf8' }).stdout.includes(`alias ${open.sandboxId}`))
  await check('invariants: an interface that was taken away from its sandbox is seen', async () => {
    link('set', its, 'alias', 'ighostghostghostghos')
    const seen = broken()
    link('set', its, 'alias', open.sandboxId)
    expect(seen, /^interface_has_record: .*\n.*network_has_interface: /s)
    await until('all to hold again', 10000, () => broken() === '')
  })

  // Somebody's firewall script.
  nft('flush ruleset')
  await until('the table to be there again', 10000, () => /event=table_lost/.test(instance.logText()) && spawnSync('nft', ['list', 'table', 'inet', table]).status === 0)
  await flows(closed, 'flush ruleset', [
    ['the policy is in force again', REFUSED, tcp('9.9.9.10', 8080)],
    ['the LAN is refused again', REFUSED, tcp('10.77.0.1', 8080)],
    ['a name that was resolved before still works', 'tls good.example', tls('9.9.9.2', 'good.example')],
  ])

  // Deaths.
  const pid = instance.daemon('netd')
  process.kill(pid, 'SIGSTOP')
  await new Promise((done) => setTimeout(done, 14000))
  await flows(open, 'netd hangs', [['no new connection', REFUSED, tcp('9.9.9.8', 8080)], ['no name', 'timeout', name('open.example', { limit: 1 })]])
  process.kill(pid, 'SIGKILL')
  await until('netd to be back', 10000, () => instance.daemon('netd') && instance.daemon('netd') !== pid)
  await until('policies to be in force again', 10000, async () => /^hello/.test(await one(open, tcp('9.9.9.8', 8080))))
  await flows(closed, 'netd killed', [
    ['the policy is in force again', REFUSED, tcp('9.9.9.10', 8080)],
    ['names, too', 'ok 9.9.9.2', name('good.example')],
    ['and the proxy', 'tls good.example', tls('9.9.9.2', 'good.example')],
  ])
  process.kill(instance.daemon('e2b-sandbox'), 'SIGKILL')
  await flowsAfter(async () => (await api('GET', `/sandboxes/${closed.sandboxId}`)).status === 200)
  await flows(closed, 'API killed', [['the policy is in force', REFUSED, tcp('9.9.9.10', 8080)], ['what is allowed works', 'ok 9.9.9.2', name('good.example')]])
  process.kill(instance.daemon('warden'), 'SIGKILL')
  await new Promise((done) => setTimeout(done, 1500))
  await flows(closed, 'warden killed', [['the policy is in force', REFUSED, tcp('9.9.9.10', 8080)]])

  // Control: what was refused succeeds without the rules. Addresses are still hidden behind the host's, or no answer would find back.
  nft(['early', 'dstnat', 'forward', 'input', 'output'].map((c) => `flush chain inet ${table} ${c}`).join('\n'))
  await flows(closed, 'control', [
    ['the LAN', /^hello from 10.77.0.1/, tcp('10.77.0.1', 8080)],
    ['the metadata service', /^hello from 169.254.169.254/, tcp('169.254.169.254', 8080)],
    ['a direct address', /^hello from 9.9.9.3/, tcp('9.9.9.3', 8080)],
    ['a name that is not allowed', 'tls evil.example', tls('9.9.9.2', 'evil.example')],
    ['a Host that is not allowed', '200 http evil.example', web('9.9.9.2', get('evil.example'))],
    ['direct DNS', /^ok 9.9.9.3/, name('evil.example', { to: '8.8.8.8' })],
    ['DoT', /^hello from 1.1.1.1:853/, tcp('1.1.1.1', 853)],
    ['QUIC', 'echo x', udp('9.9.9.2', 443)],
    ['the host', /^hello/, tcp('9.9.9.1', 2222)],
    ['another sandbox', 'hello from a sandbox', tcp(openAddress, 8080)],
    ['ICMP', 'answered', { kind_of: 'ping', to: '9.9.9.10' }],
    ['a reserved address that somebody routes', /^hello from 198.51.100.9/, tcp('198.51.100.9', 8080)],
  ])
  services.forEach((s) => s.close())
}

async function flowsAfter(ready) {
  await until('the API to be back', 15000, async () => ready().catch(() => false))
}

// A service of the host, which greets like those of the internet.
import { createServer } from 'node:net'
function serveOn(address, port) {
  const s = createServer((c) => c.on('error', () => {}).end(`hello from ${address}:${port}\n`))
  s.on('error', (e) => console.error(`# ${address}:${port}: ${e.message}`))
  s.listen(port, address)
  return s
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
await check('no table, no interface, no forwarding is left', async () => {
  const left = await leftoversAfterAMoment(instance)
  const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout.trim()
  const links = spawnSync('ip', ['-br', 'link'], { encoding: 'utf8' }).stdout
  const forward = spawnSync('sysctl', ['-n', 'net.ipv4.ip_forward'], { encoding: 'utf8' }).stdout.trim()
  if (left.length || tables || /^fb/m.test(links) || forward !== '0') throw new Error([left.join('; '), tables, links, forward].join(' | '))
})
if (process.env.KEEP) writeFileSync(join(dir, 'up.log'), instance.logText())
instance.forget()
process.exit(failed)
