// SPDX-License-Identifier: Apache-2.0
// What the fault tests share: one HTTP request without an SDK in between, and the invariants.
import assert from 'node:assert/strict'
import { request as start, Agent } from 'node:http'

export const newAgent = () => new Agent({ keepAlive: true, maxSockets: 64 })

// {status, text, json}; rejects if there is no whole answer within `timeout` ms.
export function request(i, method, path, { json, body, headers = {}, timeout = 60000, agent = false } = {}) {
  const bytes = json === undefined ? (body ?? '') : JSON.stringify(json)
  return new Promise((done, failed) => {
    const r = start(i.url + path, {
      method, agent,
      headers: { 'X-API-Key': i.key, ...(json === undefined ? {} : { 'Content-Type': 'application/json' }), 'Content-Length': Buffer.byteLength(bytes), ...headers },
    })
    const timer = setTimeout(() => r.destroy(new Error(`${method} ${path}: no answer in ${timeout} ms`)), timeout)
    r.on('response', (a) => {
      const chunks = []
      a.on('data', (c) => chunks.push(c))
      a.on('error', failed)
      a.on('aborted', () => failed(new Error('the answer was cut')))
      a.on('end', () => {
        clearTimeout(timer)
        const text = Buffer.concat(chunks).toString()
        let value
        try {
          value = JSON.parse(text)
        } catch {}
        done({ status: a.statusCode, headers: a.headers, text, json: value, bytes: Buffer.concat(chunks) })
      })
    })
    r.on('error', (e) => {
      clearTimeout(timer)
      failed(e)
    })
    r.end(bytes)
  })
}

// Into a sandbox {id, token}.
export const inside = (s, extra = {}) => ({
  'E2b-Sandbox-Id': s.id, 'E2b-Sandbox-Port': '49983', ...(s.token ? { 'X-Access-Token': s.token } : {}),
  Authorization: `Basic ${Buffer.from('user:').toString('base64')}`, ...extra,
})

// One frame of the Connect protocol around JSON.
export function frame(value) {
  const text = Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(5)
  head.writeUInt32BE(text.length, 1)
  return Buffer.concat([head, text])
}

// Runs a shell command: {exit, out}; rejects unless the stream came to its end.
export async function shell(i, s, command, options = {}) {
  const r = await request(i, 'POST', '/process.Process/Start', {
    ...options, body: frame({ process: { cmd: '/bin/bash', args: ['-c', command] } }),
    headers: inside(s, { 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1' }),
  })
  if (r.status !== 200) throw new Error(`Start answered ${r.status} ${r.text.slice(0, 200)}`)
  let out = '', exit
  for (let at = 0; at + 5 <= r.bytes.length; ) {
    const n = r.bytes.readUInt32BE(at + 1)
    const value = JSON.parse(r.bytes.subarray(at + 5, at + 5 + n).toString() || '{}')
    const ev = value.event ?? {}
    if (ev.data?.stdout) out += Buffer.from(ev.data.stdout, 'base64')
    if (ev.end) exit = ev.end.exitCode ?? 0
    if (value.error) throw new Error(JSON.stringify(value.error))
    at += 5 + n
  }
  if (exit === undefined) throw new Error('the stream ended before the process')
  return { exit, out }
}

export async function writeFile(i, s, path, text, options = {}) {
  const r = await request(i, 'POST', `/files?path=${encodeURIComponent(path)}&username=user`, {
    ...options, body: text, headers: inside(s, { 'Content-Type': 'application/octet-stream' }),
  })
  if (r.status !== 200) throw new Error(`a write answered ${r.status} ${r.text.slice(0, 200)}`)
}

export async function readFile(i, s, path, options = {}) {
  const r = await request(i, 'GET', `/files?path=${encodeURIComponent(path)}&username=user`, { ...options, headers: inside(s) })
  if (r.status !== 200) throw Object.assign(new Error(`a read answered ${r.status} ${r.text.slice(0, 200)}`), { status: r.status })
  return r.text
}

// All invariants, from outside.
export function check(i, ...args) {
  const r = i.cli(['check-invariants', '--json', ...args], { timeout: 120000 })
  assert.notEqual(r.code, 2, r.stderr)
  const report = r.stdout ? JSON.parse(r.stdout) : { invariants: [] }
  assert.ok(r.stdout, r.stderr)
  assert.deepEqual(report.invariants.filter((x) => !x.holds).map((x) => `${x.id}: ${x.evidence.slice(0, 5).join('; ')}`), [])
  return report
}
