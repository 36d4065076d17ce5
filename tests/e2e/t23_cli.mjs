// SPDX-License-Identifier: Apache-2.0
// The firebreak command as a user types it, against the shared instance.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, after } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { program } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'

const env = {
  PATH: process.env.PATH, HOME: '/root', E2B_API_KEY: process.env.E2B_API_KEY, E2B_API_URL: process.env.E2B_API_URL, FIREBREAK_INSTANCE: process.env.FIREBREAK_T_NAME,
  FIREBREAK_STATE: process.env.FIREBREAK_T_STATE, FIREBREAK_RUN: process.env.FIREBREAK_T_RUN, FIREBREAK_LISTEN: new URL(process.env.E2B_API_URL).host,
}
const start = (args, options = {}) => spawn(program('firebreak'), args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...env, ...options.env } })
async function firebreak(args, { input = '', ...options } = {}) {
  const c = start(args, options)
  let stdout = ''
  let stderr = ''
  c.stdout.on('data', (d) => (stdout += d))
  c.stderr.on('data', (d) => (stderr += d))
  c.stdin.on('error', () => {})
  c.stdin.end(input)
  const code = await new Promise((done) => c.on('close', done))
  return { code, stdout, stderr }
}
const running = async () => (await Sandbox.list().nextItems()).map((i) => i.sandboxId)

let dir
before(() => (dir = mkdtempSync(join(tmpdir(), 'firebreak-cli-'))))
after(() => rmSync(dir, { recursive: true }))

claim('run -c prints what the program prints, and nothing else on stdout', async () => {
  const r = await firebreak(['run', '-c', 'import sys; print("out"); print("err", file=sys.stderr)'])
  assert.equal(r.code, 0, r.stderr)
  assert.equal(r.stdout, 'out\n')
  assert.match(r.stderr, /^err$/m)
})

claim('run ends with the exit code of the program', async () => {
  assert.equal((await firebreak(['run', '-c', 'raise SystemExit(37)'])).code, 37)
  assert.equal((await firebreak(['run', '--lang', 'bash', '-c', 'exit 3'])).code, 3)
  assert.equal((await firebreak(['run', '-c', '1/0'])).code, 1)
})

claim('every language runs: from -c, a file and stdin', async () => {
  assert.equal((await firebreak(['run', '--lang', 'python', '-c', 'print(6*7)'])).stdout, '42\n')
  assert.equal((await firebreak(['run', '--lang', 'javascript', '-c', 'console.log(6*7)'])).stdout, '42\n')
  assert.equal((await firebreak(['run', '--lang', 'bash', '-c', 'echo $((6*7))'])).stdout, '42\n')
  for (const [name, text] of [['p.py', 'print("from a file")'], ['p.js', 'console.log("from a file")'], ['p.sh', 'echo from a file']]) {
    writeFileSync(join(dir, name), text)
    const r = await firebreak(['run', join(dir, name)])
    assert.equal(r.stdout, 'from a file\n', `${name}: ${r.stderr}`)
  }
  assert.equal((await firebreak(['run', '-'], { input: 'print("from stdin")' })).stdout, 'from stdin\n')
})

claim('run streams', async () => {
  const c = start(['run', '-c', 'import time\nprint("first", flush=True)\ntime.sleep(1.5)\nprint("second")'])
  const began = performance.now()
  const at = []
  c.stdout.on('data', (d) => at.push([String(d), performance.now() - began]))
  await new Promise((done) => c.on('close', done))
  assert.equal(at.map((x) => x[0]).join(''), 'first\nsecond\n')
  assert.ok(at.at(-1)[1] - at[0][1] > 1000, 'the first line came only with the second')
})

claim('--json gives one object with output and exit code', async () => {
  const r = await firebreak(['run', '--json', '-c', 'import sys; print("o"); print("e", file=sys.stderr); sys.exit(4)'])
  const j = JSON.parse(r.stdout)
  assert.equal(j.stdout, 'o\n')
  assert.equal(j.stderr, 'e\n')
  assert.equal(j.exit_code, 4)
  assert.equal(r.code, 4)
})

claim('run leaves no sandbox, also when it is interrupted', async () => {
  const before = (await running()).sort()
  await firebreak(['run', '-c', 'print(1)'])
  assert.deepEqual((await running()).sort(), before)
  const c = start(['run', '--lang', 'bash', '-c', 'echo started; sleep 100'])
  await new Promise((done) => c.stdout.once('data', done))
  assert.equal((await running()).length, before.length + 1)
  c.kill('SIGINT')
  const code = await new Promise((done) => c.on('close', (n, sig) => done(n ?? sig)))
  assert.ok(code === 130 || code === 'SIGINT', `ended with ${code}`)
  await until('its sandbox to be gone', 5000, async () => (await running()).length === before.length)
})

claim('an unknown template and a missing file end with 1 and are named', async () => {
  const a = await firebreak(['run', '--template', 'no-such-thing', '-c', 'print(1)'])
  assert.equal(a.code, 1)
  assert.match(a.stderr, /no-such-thing/)
  const b = await firebreak(['run', join(dir, 'absent.py')])
  assert.ok([1, 2].includes(b.code), `${b.code}`)
  assert.match(b.stderr, /absent\.py/)
})

claim('a wrong key ends with 1 and says where the key comes from', async () => {
  const r = await firebreak(['run', '-c', 'print(1)'], { env: { E2B_API_KEY: 'e2b_' + '0'.repeat(40) } })
  assert.equal(r.code, 1)
  assert.match(r.stderr, /key/i)
})

claim('ps lists sandboxes and kill ends them', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000, metadata: { of: 'ps' } })
  try {
    const r = await firebreak(['ps'])
    assert.equal(r.code, 0, r.stderr)
    assert.match(r.stdout, new RegExp(s.sandboxId))
    assert.match(r.stdout, /base/)
    assert.doesNotMatch(r.stdout, /\x1b/)
    const j = JSON.parse((await firebreak(['ps', '--json'])).stdout)
    assert.ok((Array.isArray(j) ? j : j.sandboxes).some((x) => x.sandboxID === s.sandboxId))
    const k = await firebreak(['kill', s.sandboxId])
    assert.equal(k.code, 0, k.stderr)
    assert.equal(await s.isRunning(), false)
    const again = await firebreak(['kill', s.sandboxId])
    assert.equal(again.code, 1)
    assert.match(again.stderr, new RegExp(s.sandboxId))
  } finally {
    await s.kill().catch(() => {})
  }
})

claim('template ls shows base with its size', async () => {
  const r = await firebreak(['template', 'ls'])
  assert.equal(r.code, 0, r.stderr)
  assert.match(r.stdout, /^base\b/m)
})

claim('up refuses to start twice on one run directory, and says what runs', async () => {
  const r = await firebreak(['up', '--instance', process.env.FIREBREAK_T_NAME, '--state', process.env.FIREBREAK_T_STATE, '--run', process.env.FIREBREAK_T_RUN, '--listen', '127.0.0.1:1'])
  assert.equal(r.code, 1)
  assert.match(r.stderr, /already|running|in use/i)
})
