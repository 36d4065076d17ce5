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

const instance = await Instance.start({ args: ['--internet', 'allow', '--net-dns', '9.9.9.53', '--net-ca', join(dir, 'ca.pem')] })
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

async function secureHttp(closed, open, none) {
  const curl = (s, what) => s.commands.run(`curl -sS -m 8 ${what}`).then((r) => r.stdout, (e) => e.stderr)
  await flows(closed, 'https', [
    ['the header arrives, and the certificate is trusted', '200 served by 9.9.9.21', url('https://api.example/s1'), once('/s1', bearer)],
    ['the client\'s own header of that name does not', '200 served by 9.9.9.21', url('https://api.example/s2', { headers: { authorization: 'mine', X_Api_Key: 'mine' } }),
      () => { once('/s2', bearer)(); once('/s2', SECRET, 'x-api-key')() }],
    ['the server is shown by the sandbox\'s own authority, over HTTP/1.1', `Firebreak egress of ${closed.sandboxId}; None`, { kind: 'issuer', to: '9.9.9.21', sni: 'api.example' }],
    ['each request of a connection has it', '200 18; 200 18; 200 18', { kind: 'many', secure: true, host: 'api.example', paths: ['/s3', '/s3', '/s3'] },
      () => expect(seen('/s3').map((r) => values(r, 'authorization')).join(), [bearer, bearer, bearer].join())],
    ['with bodies between them', '200 18; 200 18', { kind: 'many', secure: true, host: 'api.example', paths: ['/s4', '/s4'], body: 'x'.repeat(300000) },
      () => expect(seen('/s4').map((r) => `${values(r, 'authorization')} ${r.body}`).join(), `${bearer} 300000,${bearer} 300000`)],
    ['five megabytes come back whole', '200 5000000', { kind: 'many', secure: true, host: 'api.example', paths: ['/large'] }],
    ['another host keeps its own certificate, which the sandbox does not know', /SSLCertVerificationError/, url('https://other.example/s5'), never('/s5')],
    ['and gets no header', /200 OK/, { ...tls('9.9.9.22', 'other.example', get('other.example', '/s6')), verify: false }, without('/s6')],
    ['nor does the host that it is redirected to', /SSLCertVerificationError/, url('https://api.example/redirect'), without('/landed')],
    ['another Host inside of TLS is refused', /^HTTP\/1.1 421[^|]*request_refused[^|]*\|closed/, tls('9.9.9.21', 'api.example', get('other.example', '/s7')), never('/s7')],
    ['another Host in a second request is refused', /^HTTP\/1.1 200[^|]*\|closed/, tls('9.9.9.21', 'api.example', get('api.example', '/s8'), get('shared.example', '/s9')), never('/s9')],
    ['a Host with another port is refused', /^HTTP\/1.1 421/, tls('9.9.9.21', 'api.example', get('api.example:8443', '/s10')), never('/s10')],
    ['two lengths inside of TLS are refused', /^HTTP\/1.1 421/, tls('9.9.9.21', 'api.example', `POST /s11 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get('api.example', '/s12')}`), () => { never('/s11')(); never('/s12')() }],
    ['a bare line feed inside of TLS is refused', /^HTTP\/1.1 421/, tls('9.9.9.21', 'api.example', 'GET /s13 HTTP/1.1\nHost: api.example\n\n'), never('/s13')],
    ['a broken chunk is refused', /\|closed/, tls('9.9.9.21', 'api.example', `POST /s14 HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n`), never('/s14')],
    ['TRACE is refused', /^HTTP\/1.1 421/, tls('9.9.9.21', 'api.example', 'TRACE /s15 HTTP/1.1\r\nHost: api.example\r\n\r\n'), never('/s15')],
    ['having it thrown away on the way is refused', /^HTTP\/1.1 421/, tls('9.9.9.21', 'api.example', get('api.example', '/s16', 'Connection: x-api-key\r\n')), never('/s16')],
    ['a name that is not allowed is refused', /ConnectionReset|SSLEOF|EOF occurred/, tls('9.9.9.21', 'shared.example', get('shared.example', '/s17')), never('/s17')],
    ['the name at another server is refused', /ConnectionReset|SSLEOF|EOF occurred/, tls('9.9.9.22', 'api.example', get('api.example', '/s18')), never('/s18')],
    ['HTTP/2 alone is refused', /NO_APPLICATION_PROTOCOL|no application protocol/i, { ...tls('9.9.9.21', 'api.example', 'PRI'), alpn: ['h2'] }],
    ['HTTP/2 and 1.1 become 1.1', /^HTTP\/1.1 200/, { ...tls('9.9.9.21', 'api.example', get('api.example', '/s19')), alpn: ['h2', 'http/1.1'] }, once('/s19', bearer)],
    ['a WebSocket has it and is a tunnel then', /101 Switching[^|]*echo ping/, tls('9.9.9.21', 'api.example', get('api.example', '/s20', 'Connection: upgrade\r\nUpgrade: websocket\r\n'), 'ping'), once('/s20', bearer)],
  ])
  await check('https: curl trusts it, too', async () => {
    expect(await curl(closed, 'https://api.example/c1'), 'served by 9.9.9.21')
    once('/c1', bearer)()
  })
  await check('https: and node', async () => {
    const r = await closed.commands.run(`node -e "require('https').get('https://api.example/c2', (r) => r.on('data', (d) => process.stdout.write(d))).on('error', (e) => console.log(e.code))"`)
    expect(r.stdout, 'served by 9.9.9.21')
    once('/c2', bearer)()
  })
  await check('https: and openssl without any variable', async () => {
    const r = await closed.commands.run('env -i openssl s_client -verify_return_error -connect 9.9.9.21:443 -servername api.example </dev/null 2>&1 | grep "Verify return code"')
    expect(r.stdout, /Verify return code: 0 \(ok\)/)
  })
  const broken = Object.fromEntries(['selfsigned', 'wrong', 'silent', 'old'].map((n) => [`${n}.example`, [{ transform: { headers: { Authorization: bearer } } }]]))
  const strict = await create({ network: { allowOut: names, denyOut: ['0.0.0.0/0'], rules: broken } })
  await flows(strict, 'https, servers', [
    ['a certificate that signs itself', /^502 Firebreak: selfsigned.example: its certificate is not valid: self-signed certificate/, url('https://selfsigned.example/b1'), never('/b1')],
    ['a certificate of another name', /^502 Firebreak: wrong.example: its certificate is not valid: .*mismatch/i, url('https://wrong.example/b2'), never('/b2')],
    ['a certificate of yesterday', /^502 Firebreak: old.example: its certificate is not valid: certificate has expired/, url('https://old.example/b3'), never('/b3')],
    ['nobody listens', /^502 Firebreak: silent.example: it cannot be reached: Connection refused/, url('https://silent.example/b4')],
  ])
  await flows(open, 'https, all allowed', [
    ['the header arrives', '200 served by 9.9.9.21', url('https://api.example/so1'), once('/so1', bearer)],
    ['another name of the same server is passed through', /SSLCertVerificationError/, tls('9.9.9.21', 'shared.example', get('shared.example', '/so2')), never('/so2')],
    ['and gets no header', /200 OK/, { ...tls('9.9.9.21', 'shared.example', get('shared.example', '/so3')), verify: false }, without('/so3')],
  ])
  await flows(none, 'https, control', [
    ['without a rule the sandbox sees the server\'s own certificate', /SSLCertVerificationError/, url('https://api.example/sn1'), never('/sn1')],
    ['and nothing is set', /200 OK/, { ...tls('9.9.9.21', 'api.example', get('api.example', '/sn2')), verify: false }, without('/sn2')],
  ])
  await check('https: an authority is of one sandbox', async () => {
    const r = await open.commands.run('cat /usr/local/share/ca-certificates/firebreak-egress.crt')
    await closed.files.write('/tmp/other-ca.pem', r.stdout)
    const trusting = (pem) => closed.commands.run(`python3 -c "
import socket, ssl
try: ssl.create_default_context(cafile='${pem}').wrap_socket(socket.create_connection(('9.9.9.21', 443)), server_hostname='api.example'); print('trusted')
except ssl.SSLError as e: print(e.reason)"`).then((r) => r.stdout.trim())
    expect(await trusting('/tmp/other-ca.pem'), 'CERTIFICATE_VERIFY_FAILED')
    expect(await trusting('/usr/local/share/ca-certificates/firebreak-egress.crt'), 'trusted')
  })
}

// Looks for the value in everything that root inside can read.
const LOOK = `
import os, sys
needle, hits, files, memory = bytes.fromhex(sys.argv[1])[::-1], [], 0, 0
def look(path):
    global files
    try:
        with open(path, 'rb') as f:
            files += 1
            tail = b''
            while block := f.read(1 << 20):
                if needle in tail + block: hits.append(path); return
                tail = block[-64:]
    except OSError: pass
for top, dirs, names in os.walk('/'):
    if top == '/': dirs[:] = [d for d in dirs if d not in ('proc', 'sys')]
    for n in names: look(os.path.join(top, n)) if os.path.isfile(os.path.join(top, n)) else None
for pid in filter(str.isdigit, os.listdir('/proc')):
    for n in ('environ', 'cmdline'): look(f'/proc/{pid}/{n}')
    if int(pid) == os.getpid(): continue
    try:
        maps, mem = open(f'/proc/{pid}/maps'), open(f'/proc/{pid}/mem', 'rb', 0)
        for line in maps:
            a, b = (int(x, 16) for x in line.split()[0].split('-'))
            if line.split()[1][0] != 'r' or b - a > 1 << 28: continue
            try: mem.seek(a); memory += 1; hits.append(f'{pid} {line}') if needle in mem.read(b - a) else None
            except (OSError, OverflowError, ValueError): pass
    except OSError: pass
print(files > 5000, memory > 0, hits)
`
async function isNowhere(s, value) {
  await s.files.write('/tmp/look.py', LOOK)
  const backwards = Buffer.from(value).reverse().toString('hex') // so that the needle is in no argument
  const r = await s.commands.run(`python3 /tmp/look.py ${backwards}`, { user: 'root', timeoutMs: 120000 })
  expect(r.stdout.trim(), /^True (True|False) \[\]$/)
}

async function secrecy(closed, none) {
  await check('secrecy: the sandbox has the value in no file, environment, argument or memory', () => isNowhere(closed, SECRET))
  await check('secrecy: control, a value that it has is found', async () => {
    const planted = `planted-${randomBytes(8).toString('hex')}`
    await none.files.write('/home/user/planted', planted)
    await none.files.write('/tmp/look.py', LOOK)
    expect((await none.commands.run(`python3 /tmp/look.py ${Buffer.from(planted).reverse().toString('hex')}`, { user: 'root', timeoutMs: 120000 })).stdout, /planted'\]/)
  })
  await check('secrecy: it is in no argument and no environment on the host', async () => {
    for (const pid of pids())
      for (const n of ['cmdline', 'environ']) {
        let text = ''
        try {
          text = readFileSync(`/proc/${pid}/${n}`, 'latin1')
        } catch {}
        if (text.includes(SECRET)) throw new Error(`/proc/${pid}/${n}`)
      }
  })
  await check('secrecy: on the disk it is in files of the API alone, which nobody else can open', async () => {
    const r = spawnSync('grep', ['-rlaF', SECRET, instance.state, instance.run], { encoding: 'utf8' })
    const found = r.stdout.trim().split('\n')
    if (found.some((f) => !/\.db(-wal)?$/.test(f))) throw new Error(r.stdout)
    for (const f of found) expect(spawnSync('stat', ['-c', '%a %u', f], { encoding: 'utf8' }).stdout.trim(), '600 65532')
  })
  await check('secrecy: what ends TLS has no capability, a uid of its own, a filter and an empty root', async () => {
    const pid = instance.daemon('tlsd')
    const s = Object.fromEntries(readFileSync(`/proc/${pid}/status`, 'utf8').split('\n').map((l) => l.split(/:\s*/)))
    for (const n of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(s[n], '0000000000000000')
    expect(`${s.Uid.split('\t').join()} ${s.Groups ?? ''} ${s.Seccomp} ${s.NoNewPrivs}`.replace(/ +/g, ' '), '65528,65528,65528,65528 2 1')
    expect(spawnSync('ls', [`/proc/${pid}/root/`], { encoding: 'utf8' }).stdout, '')
    expect(spawnSync('stat', ['-c', '%a %u', join(instance.run, 'tlsd.seed')], { encoding: 'utf8' }).stdout.trim(), '600 0')
  })
}

const HOLD = `
import socket, ssl, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
if sys.argv[2] == '443': s = ssl.create_default_context().wrap_socket(s, server_hostname=sys.argv[3])
for i in range(100):
    try:
        s.sendall(f'GET /held HTTP/1.1\\r\\nHost: {sys.argv[3]}\\r\\n\\r\\n'.encode())
        if not s.recv(4000): print('cut', flush=True); break
        print('open', flush=True)
    except OSError: print('cut', flush=True); break
    time.sleep(0.1)
`
async function hold(s, to, port, host) {
  let out = ''
  await s.files.write('/tmp/hold.py', HOLD)
  await s.commands.run(`python3 /tmp/hold.py ${to} ${port} ${host}`, { background: true, onStdout: (d) => (out += d) })
  await until('a held connection', 8000, () => out.includes('open'))
  return { isCut: () => out.includes('cut') }
}

async function changes(closed) {
  const put = (body) => api('PUT', `/sandboxes/${closed.sandboxId}/network`, body)
  const policy = { allowOut: names, denyOut: ['0.0.0.0/0'] }
  const plain = await hold(closed, '9.9.9.21', 80, 'api.example')
  const secure = await hold(closed, '9.9.9.21', 443, 'api.example')
  const neighbour = await hold(closed, '9.9.9.22', 80, 'other.example')
  await check('change: a PUT with another value is answered 204', async () => expect((await put({ ...policy, rules: rules(SECOND) })).status, 204))
  await check('change: it cuts connections that had the old one', async () => {
    await until('both to end', 5000, () => plain.isCut() && secure.isCut())
    if (neighbour.isCut()) throw new Error('and another one')
  })
  await flows(closed, 'change', [
    ['the new value arrives on port 80', '200 served by 9.9.9.21', url('http://api.example/p1'), once('/p1', `Bearer ${SECOND}`)],
    ['and in TLS', '200 served by 9.9.9.21', url('https://api.example/p2'), once('/p2', `Bearer ${SECOND}`)],
  ])
  const again = await hold(closed, '9.9.9.21', 443, 'api.example')
  await check('change: a PUT without rules', async () => expect((await put(policy)).status, 204))
  await check('change: it cuts connections, too', () => until('it to end', 5000, () => again.isCut()))
  await flows(closed, 'change', [
    ['nothing is set any more on port 80', '200 served by 9.9.9.21', url('http://api.example/p3'), () => expect(values(seen('/p3')[0], 'authorization').length, 0)],
    ['nor in TLS, which is the server\'s again', /SSLCertVerificationError/, url('https://api.example/p4')],
  ])
  await check('change: the old values are on no disk', async () => expect(spawnSync('grep', ['-rlaF', SECOND, instance.state, instance.run], { encoding: 'utf8' }).stdout, ''))
  expect((await put({ ...policy, rules: rules(SECRET) })).status, 204)
  await flows(closed, 'change', [['rules can come back', '200 served by 9.9.9.21', url('https://api.example/p5'), once('/p5', bearer)]])
}

async function deaths(closed, open) {
  const still = (name) => [
    [`after ${name}: the header arrives on port 80`, '200 served by 9.9.9.21', url(`http://api.example/${name}1`), once(`/${name}1`, bearer)],
    [`after ${name}: and in TLS, by the same authority`, '200 served by 9.9.9.21', url(`https://api.example/${name}2`), once(`/${name}2`, bearer)],
  ]
  const killed = async (daemon) => {
    const pid = instance.daemon(daemon)
    process.kill(pid, 'SIGKILL')
    await until(`${daemon} to be back`, 15000, () => instance.daemon(daemon) && instance.daemon(daemon) !== pid)
  }
  const works = () => until('everything to be told again', 15000, async () => /^200/.test((await asks(open, [url('https://api.example/again')]))[0]))
  const held = await hold(open, '9.9.9.22', 80, 'other.example')
  const tlsd = instance.daemon('tlsd')
  process.kill(tlsd, 'SIGSTOP')
  process.kill(tlsd, 'SIGKILL')
  await flows(closed, 'deaths', [['while tlsd is away nothing passes without the header', /ConnectionReset|Connection reset|^200|EOF occurred/, url('https://api.example/d0'), () => { if (seen('/d0').length) once('/d0', bearer)() }]])
  await until('tlsd to be back', 15000, () => instance.daemon('tlsd') && instance.daemon('tlsd') !== tlsd)
  await works()
  await flows(closed, 'deaths', still('tlsd'))
  await check('deaths: other traffic has gone on', async () => { if (held.isCut()) throw new Error('it was cut') })
  await killed('netd')
  await works()
  await flows(closed, 'deaths', still('netd'))
  await killed('e2b-sandbox')
  await until('the API to be back', 15000, async () => (await api('GET', `/sandboxes/${closed.sandboxId}`).catch(() => ({}))).status === 200)
  await killed('netd') // what netd is told now is from the disk
  await works()
  await flows(closed, 'deaths', still('api'))
}

async function limits(open) {
  await flows(open, 'limits', [['a sandbox has at most 128 connections that are looked into', '128', { kind: 'hold', to: '9.9.9.21', sni: 'api.example', n: 135 }]])
}

async function run() {
  const denyOut = ['0.0.0.0/0']
  const closed = await create({ network: { allowOut: names, denyOut, rules: rules(SECRET) } })
  const open = await create({ network: { rules: rules(SECRET) } })
  const none = await create({ network: { allowOut: names, denyOut } })
  await asks(closed, names.map((n) => url(`http://${n}:81/`)).slice(0, 2)) // their addresses are known then
  await plainHttp(closed, open, none)
  await secureHttp(closed, open, none)
  await secrecy(closed, none)
  await changes(closed)
  await limits(open)
  await deaths(closed, open)
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
await check('a kill removes every value from the disk', async () => expect(spawnSync('grep', ['-rlaF', SECRET, instance.state, instance.run], { encoding: 'utf8' }).stdout, ''))
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
