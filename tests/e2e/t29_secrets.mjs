// SPDX-License-Identifier: Apache-2.0
// firebreak secrets, from outside: what is encrypted opens again under its name; no value or passphrase is in an argument, a message or the record.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instance, program } from '../lib/instance.mjs'
import { records } from '../lib/record.mjs'

const dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'firebreak-secrets-'))
after(() => rmSync(dir, { recursive: true }))
const file = (name, text, mode = 0o600) => {
  writeFileSync(join(dir, name), text, { mode })
  chmodSync(join(dir, name), mode)
  return join(dir, name)
}
const PASSPHRASE = 'canary correct horse battery'
const pass = file('pass', PASSPHRASE + '\n', 0o400)
const run = (args, input = '', env = {}) => {
  const r = spawnSync(program('firebreak'), ['secrets', ...args], { input, encoding: 'utf8', env: { PATH: process.env.PATH, ...env } })
  assert.doesNotMatch(r.stderr, /canary/)
  return r
}
const key = ['--passphrase-file', pass]

test('R83 R84 R86 what is encrypted opens again, under its name and passphrase only', () => {
  for (const kdf of ['pbkdf2', 'argon2id']) {
    const e = run(['encrypt', 'E2B_API_KEY', '--kdf', kdf, ...key], 'canary-value')
    assert.equal(e.status, 0, e.stderr)
    assert.match(e.stdout, new RegExp(`^E2B_API_KEY=chit:encrypt:v${kdf === 'pbkdf2' ? 1 : 2}\\.[0-9a-f]{16}\\.[\\w-]{22}\\.[\\w-]{16}\\.[\\w-]+\\n$`))
    assert.equal(run(['decrypt', 'E2B_API_KEY', ...key], e.stdout).stdout, 'canary-value\n')
    assert.notEqual(run(['decrypt', 'E2B_API_KEX', ...key], e.stdout.split('=')[1]).status, 0)
    assert.notEqual(run(['decrypt', 'E2B_API_KEY', '--passphrase-file', file('other', 'another canary passphrase', 0o400)], e.stdout).status, 0)
  }
})

test('R49 R85 a passphrase that others can read, that is short or a placeholder is refused', () => {
  assert.match(run(['encrypt', 'A', '--passphrase-file', file('open', PASSPHRASE, 0o444)], 'x').stderr, /chmod 400/)
  assert.match(run(['encrypt', 'A', '--passphrase-file', file('short', 'short', 0o400)], 'x').stderr, /16 to 1024/)
  assert.match(run(['encrypt', 'A', '--passphrase-file', file('change', 'change-me-please-now', 0o400)], 'x').stderr, /placeholder/)
  assert.equal(run(['encrypt', 'A'], 'x', { CHIT_PASSPHRASE_FILE: pass }).status, 0)
  assert.equal(run(['encrypt', 'A'], 'x', { CREDENTIALS_DIRECTORY: (file('chit-passphrase', PASSPHRASE, 0o440), dir) }).status, 0)
})

test('R50 R86-R90 lint names what is plain and must not be, and never a value; import-env encrypts it', () => {
  const env = file('env', '# ours\nE2B_API_KEY=canary1\nexport E2B_MCP_SERVER_TOKEN="canary2"\nE2B_SANDBOX_URL=http://e2b-sandbox:7070\nOTHER=x\n')
  const bad = run(['lint', env])
  assert.equal(bad.status, 1)
  assert.match(bad.stdout, /^E2B_API_KEY must be encrypted/m)
  assert.match(bad.stdout, /^E2B_MCP_SERVER_TOKEN must be encrypted/m)
  assert.doesNotMatch(bad.stdout, /canary|E2B_SANDBOX_URL/)
  assert.match(run(['lint', file('url', 'E2B_SANDBOX_URL=http://u:canary@h\n')]).stdout, /without user or password/)
  const out = join(dir, 'env.new')
  assert.equal(run(['import-env', env, '--out', out, ...key]).status, 0)
  const text = readFileSync(out, 'utf8')
  assert.doesNotMatch(text, /canary/)
  assert.match(text, /^# ours\nE2B_API_KEY=chit:encrypt:v1\.[^\n]*\nE2B_MCP_SERVER_TOKEN=chit:encrypt:v1\.[^\n]*\nE2B_SANDBOX_URL=http:\/\/e2b-sandbox:7070\nOTHER=x\n$/)
  assert.equal(run(['lint', out]).status, 0)
  assert.equal(run(['decrypt', 'E2B_MCP_SERVER_TOKEN', ...key], text.split('\n')[2]).stdout, 'canary2\n')
  const rows = JSON.parse(run(['list', out, '--json']).stdout)
  assert.deepEqual(rows.map((r) => [r.name, r.state]), [['E2B_API_KEY', 'encrypted'], ['E2B_MCP_SERVER_TOKEN', 'encrypted'], ['E2B_SANDBOX_URL', 'plain'], ['OTHER', 'plain']])
})

test('packets that encrypt nothing are imported with a warning, and refused in production', () => {
  const packet = file('env.cgp.json', JSON.stringify({ spec: 'chit.cgp.v0.1', super_nodes: [{ id: 'p', constellations: [{ id: 'p-0', label: 'E2B_API_KEY', kind: 'secret', points: [{ id: 'v', text_b64: Buffer.from('canary').toString('base64') }] }] }] }))
  const out = join(dir, 'packet.new')
  const r = run(['import-env', packet, '--out', out, ...key])
  assert.equal(r.status, 0)
  assert.match(r.stderr, /1 of 1 secrets of the packet were plain text/)
  assert.equal(run(['decrypt', 'E2B_API_KEY', ...key], readFileSync(out, 'utf8')).stdout, 'canary\n')
  const refused = run(['import-env', packet, '--out', join(dir, 'no'), ...key], '', { NODE_ENV: 'production' })
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /E2B_API_KEY is not encrypted: base64 is plain text/)
})

let i
before(async () => { i = await Instance.start() })
after(() => i?.end())
test('R52-R55 rotate puts a new token in place, notes when the next is due, and is recorded without it', () => {
  const env = file('tokens', 'E2B_MCP_SERVER_TOKEN=old\nE2B_API_KEY=old\n')
  const r = run(['rotate', 'E2B_MCP_SERVER_TOKEN', '--out', env, ...key], '', { FIREBREAK_STATE: i.state, FIREBREAK_RUN: i.run })
  assert.equal(r.status, 0, r.stderr)
  const line = readFileSync(env, 'utf8').split('\n')[0]
  assert.match(run(['decrypt', 'E2B_MCP_SERVER_TOKEN', ...key], line).stdout, /^[0-9a-f]{64}\n$/)
  const due = JSON.parse(readFileSync(env + '.rotation.json', 'utf8'))
  assert.equal(due.E2B_MCP_SERVER_TOKEN.rotate_after_days, 30)
  assert.equal(records(i, 'secret.changed').at(-1).reason, 'rotated E2B_MCP_SERVER_TOKEN')
  assert.doesNotMatch(JSON.stringify(records(i)), /chit:encrypt|canary/)
})
