// SPDX-License-Identifier: Apache-2.0
// The record: each event once, with the guide's fields; durable before it is answered; whole, or the first bad record is named; where nothing
// can be recorded nothing new begins, and it heals. On an instance of its own, whose STATE/audit is a small file system.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'
import { newest, lines, records, verify } from '../lib/record.mjs'
import { start } from '../lib/start.mjs'

let i
const run = (...words) => {
  const r = spawnSync(words[0], words.slice(1), { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
  return r.stdout
}
const small = () => join(i.state, 'audit')
before(async () => {
  i = await Instance.start({ args: ['--head-every', '1'] })
  await i.stop()
  rmSync(small(), { recursive: true })
  mkdirSync(small())
  run('mount', '-t', 'tmpfs', '-o', 'size=3m,mode=0750,uid=65530,gid=65530', `record-${i.name}`, small())
  await i.up()
})
after(async () => {
  if (!i) return
  if (i.isUp) await i.stop()
  spawnSync('umount', [small()])
  await i.end()
})

const api = async (method, path, { key = i.key, json, headers = {} } = {}) => {
  const r = await fetch(i.url + path, {
    method, headers: { ...(key ? { 'X-API-Key': key } : {}), 'Content-Type': 'application/json', ...headers }, body: json && JSON.stringify(json),
  })
  const text = await r.text()
  return { status: r.status, text, json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined }
}
const create = (more) => api('POST', '/sandboxes', { json: { templateID: 'base', timeout: 300 }, ...more })
const kill = (id) => api('DELETE', `/sandboxes/${id}`)
const of = (id, type) => records(i, type).filter((r) => r.sandbox_id === id)
const base = ['timestamp', 'event_type', 'sandbox_id', 'user_id', 'agent_id', 'language', 'duration_ms', 'success', 'ip_address']

test('R92 R98 R99 R100 R102 R106 a creation is one line with the fields of the guide, there when it is answered', async () => {
  const r = await create({ headers: { 'X-Agent-Id': 'agent-zero' } })
  assert.equal(r.status, 201, r.text)
  const [line, ...others] = of(r.json.sandboxID, 'sandbox.created')
  assert.equal(others.length, 0)
  assert.deepEqual(Object.keys(line).slice(0, 9), base)
  assert.match(line.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual([line.agent_id, line.ip_address, line.success, line.user_id], ['agent-zero', '127.0.0.1', true, 'default'])
  assert.equal((await kill(r.json.sandboxID)).status, 204)
})

test('R94 R104 a kill is one line, there when it is answered; a time-out is one, too', async () => {
  const a = (await create()).json.sandboxID
  assert.equal((await kill(a)).status, 204)
  const ended = of(a, 'sandbox.terminated')
  assert.deepEqual(ended.map((r) => [r.reason, r.success, r.ip_address]), [['killed', true, '127.0.0.1']])
  assert.ok(ended[0].duration_ms >= 0)
  const b = (await create()).json.sandboxID
  assert.equal((await api('POST', `/sandboxes/${b}/timeout`, { json: { timeout: 0 } })).status, 204)
  assert.equal(of(b, 'sandbox.prolonged').length, 1)
  await until('the time-out to be recorded', 10000, () => of(b, 'sandbox.terminated').length === 1)
  assert.equal(of(b, 'sandbox.terminated')[0].reason, 'timeout')
})

test('R93 R104 R105 an execution is begun and executed once each; its code and output are in no line', async () => {
  const s = (await create()).json
  const r = await start(i, { sandboxId: s.sandboxID, envdAccessToken: s.envdAccessToken }, { cmd: '/bin/sh', args: ['-c', 'echo canary-of-output; sleep 0.2 # canary-of-code'] })
  assert.match(r.stdout.toString(), /canary-of-output/)
  await until('the execution to be recorded', 5000, () => of(s.sandboxID, 'sandbox.executed').length === 1)
  const [line] = of(s.sandboxID, 'sandbox.executed')
  assert.equal(line.success, true)
  assert.ok(line.duration_ms >= 200, `${line.duration_ms} ms`)
  assert.equal(of(s.sandboxID, 'execution.started').length, 1)
  assert.doesNotMatch(JSON.stringify(records(i)), /canary/)
  await kill(s.sandboxID)
})

test('R95 R107 an execution that cannot be is sandbox.failed, kept 365 days', async () => {
  const s = (await create()).json
  const r = await fetch(`${i.url}/execute`, { method: 'POST', body: '{}', headers: { 'E2b-Sandbox-Id': s.sandboxID, 'E2b-Sandbox-Port': '49999' } })
  assert.equal(r.status, 502)
  await until('the failure to be recorded', 5000, () => of(s.sandboxID, 'sandbox.failed').length === 1)
  assert.ok(lines(i, '365d').some((l) => l.includes(s.sandboxID) && l.includes('failed')))
  await kill(s.sandboxID)
})

test('R60 wrong keys are recorded with their source, and no key is', async () => {
  const wrong = 'e2b_' + '0'.repeat(40)
  assert.equal((await api('GET', '/sandboxes', { key: wrong })).status, 401)
  assert.equal((await api('GET', '/sandboxes', { key: null })).status, 401)
  await until('both to be recorded', 5000, () => records(i, 'auth.failed').length >= 2)
  assert.deepEqual(records(i, 'auth.failed').slice(-2).map((r) => [r.reason, r.ip_address]), [['key unknown', '127.0.0.1'], ['key missing', '127.0.0.1']])
  assert.doesNotMatch(lines(i).join(), new RegExp(`${wrong}|${i.key}`))
})

test('S01 what a client calls itself cannot forge a line', async () => {
  const before = lines(i).length
  const s = await create({ headers: { 'X-Agent-Id': 'x","event_type":"forged' } })
  assert.equal(s.status, 201)
  assert.equal(of(s.json.sandboxID, 'sandbox.created')[0].agent_id, null)
  assert.ok(lines(i).length > before)
  await kill(s.json.sandboxID)
})

test('I7 I8 everything that was answered is there; each id has one beginning and one end; the whole verifies', async () => {
  const made = await Promise.all(Array.from({ length: 12 }, () => create()))
  const ids = made.map((r) => r.json.sandboxID)
  assert.deepEqual(ids.map((id) => of(id, 'sandbox.created').length), ids.map(() => 1))
  await Promise.all(ids.map(kill))
  assert.deepEqual(ids.map((id) => of(id, 'sandbox.terminated').length), ids.map(() => 1))
  const v = verify(i)
  assert.deepEqual([v.code, v.whole], [0, true], JSON.stringify(v))
})

test('R154 the command line finds, reports and copies it', async () => {
  const id = (await create()).json.sandboxID
  await kill(id)
  const q = i.cli(['audit', 'query', '--sandbox', id, '--json'])
  assert.deepEqual(q.stdout.trim().split('\n').map((l) => JSON.parse(l).event_type), ['sandbox.created', 'sandbox.terminated'])
  assert.equal(i.cli(['audit', 'query', '--sandbox', id, '--type', 'auth.']).stdout, '')
  assert.equal(i.cli(['audit', 'query', '--sandbox', id, '--until', '1h']).stdout, '')
  assert.equal(i.cli(['audit', 'tail', '-n', '1', '--json']).stdout.trim().split('\n').length, 1)
  const report = JSON.parse(i.cli(['audit', 'report', '--since', '7d', '--json']).stdout)
  assert.equal(report.whole, true)
  assert.ok(report.authFailures.some((r) => r.what === '127.0.0.1'), JSON.stringify(report))
  const copy = join(i.dir, 'copy')
  assert.equal(i.cli(['audit', 'export', copy]).code, 0)
  assert.equal(verify(i, '--dir', copy).whole, true)
  assert.match(run('sh', '-c', `cd ${copy} && sha256sum -c --quiet SHA256SUMS && echo fine`), /fine/)
})

test('R109 S06 a change is found, and the record named', async () => {
  const copy = join(i.dir, 'changed')
  await until('a head', 5000, () => verify(i).heads > 0)
  assert.equal(i.cli(['audit', 'export', copy]).code, 0)
  const file = newest({ state: join(i.dir, 'x') }) ?? newest(i).replace(small(), copy)
  const text = readFileSync(file, 'utf8').split('\n')
  const changed = [...text]
  changed[2] = changed[2].replace('"127.0.0.1"', '"127.0.0.9"')
  writeFileSync(file, changed.join('\n'))
  let v = verify(i, '--dir', copy)
  assert.deepEqual([v.code, v.streams.find((s) => s.retentionDays === 90).bad?.record], [1, 3], JSON.stringify(v))
  writeFileSync(file, text.filter((_, n) => n !== 4).join('\n'))
  v = verify(i, '--dir', copy)
  assert.equal(v.streams.find((s) => s.retentionDays === 90).bad?.record, 5)
  writeFileSync(file, text.join('\n'))
  assert.equal(verify(i, '--dir', copy).whole, true)
  const stranger = join(i.dir, 'stranger.pub')
  writeFileSync(stranger, '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\n')
  assert.match(verify(i, '--dir', copy, '--public-key', stranger).badHead, /another key/)
})

test('R109 after kill -9 of the recorder nothing that was answered is lost, and the rest is written once it is back', async () => {
  const ids = []
  for (let n = 0; n < 5; n++) {
    const r = await create()
    assert.equal(r.status, 201)
    ids.push(r.json.sandboxID)
    process.kill(i.daemon('recorder'), 'SIGKILL')
    await kill(r.json.sandboxID) // recorded while it is away or after
    await until('a sandbox to be made again', 20000, async () => {
      const again = await create()
      if (again.status !== 201) assert.equal(again.json.errorCode ?? again.json.error_code ?? 'audit_unavailable', 'audit_unavailable', again.text)
      else await kill(again.json.sandboxID)
      return again.status === 201
    })
  }
  await until('all ends to be recorded', 10000, () => ids.every((id) => of(id, 'sandbox.terminated').length === 1))
  assert.deepEqual(ids.map((id) => of(id, 'sandbox.created').length), [1, 1, 1, 1, 1])
  assert.equal(verify(i).whole, true, JSON.stringify(verify(i)))
})

test('a torn end is cut off at the start, and is itself recorded', async () => {
  await i.stop()
  const file = newest(i)
  const whole = readFileSync(file)
  writeFileSync(file, Buffer.concat([whole, Buffer.from('{"timestamp":"2026-')]))
  await i.up()
  await until('the cut to be recorded', 5000, () => records(i, 'integrity.recovered').length === 1)
  assert.match(records(i, 'integrity.recovered')[0].reason, /^cut 19 bytes off 90d /)
  assert.equal(verify(i).whole, true)
})

test('S05 on a full disk nothing new begins (503), what runs goes on and its end is recorded; with room again it heals by itself', async () => {
  const s = (await create()).json
  const filler = join(small(), 'filler')
  spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k', 'count=1000'], { stdio: 'ignore' })
  await until('creations to be refused', 60000, async () => {
    const r = await create()
    if (r.status === 201) await kill(r.json.sandboxID)
    return r.status === 503 && /cannot be recorded/.test(r.text)
  })
  const r = await fetch(`${i.url}/process.Process/Start`, { method: 'POST', body: '{}', headers: { 'E2b-Sandbox-Id': s.sandboxID, 'E2b-Sandbox-Port': '49983' } })
  assert.equal(r.status, 503)
  assert.match(await r.text(), /cannot be recorded/)
  assert.match((await api('GET', '/metrics', { key: null })).text, /^e2b_audit_ready 0$/m)
  assert.equal((await fetch(`${i.url}/health`, { headers: { 'E2b-Sandbox-Id': s.sandboxID, 'E2b-Sandbox-Port': '49983' } })).status, 204)
  assert.equal((await kill(s.sandboxID)).status, 204)
  assert.equal(of(s.sandboxID, 'sandbox.terminated').length, 1) // in the room that was set aside
  rmSync(filler)
  await until('creations to be admitted', 10000, async () => (await create()).status === 201)
  assert.ok(records(i, 'sandbox.refused').some((x) => x.reason === 'audit'))
  assert.match((await api('GET', '/metrics', { key: null })).text, /^e2b_audit_ready 1$/m)
  assert.equal(verify(i).whole, true)
})

test('the recorder has no privilege, and can open nothing but the record', async () => {
  const pid = i.daemon('recorder')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  for (const [name, value] of [['Uid', '65530\t65530\t65530\t65530'], ['CapEff', '0000000000000000'], ['CapBnd', '0000000000000000'], ['NoNewPrivs', '1'], ['Seccomp', '2']])
    assert.match(status, new RegExp(`^${name}:\\t${value}$`, 'm'))
  assert.equal(statSync(join(small(), 'key')).mode & 0o777, 0o600)
})

test('nothing is left of it', async () => {
  await i.stop()
  assert.equal(verify(i).whole, true)
  run('umount', small())
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
