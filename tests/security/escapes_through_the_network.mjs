// SPDX-License-Identifier: Apache-2.0
// Attacks W01-W17: whatever a sandbox tries, it reaches what its policy says and nothing else. The whole instance runs in a network
// namespace of the test, between an "internet" with public addresses, a LAN and a metadata service, which exist nowhere else; the flows are
// in egress/flows.mjs. Control: the same flows succeed as soon as the rules are gone from the kernel.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { randomInt } from 'node:crypto'
import { until } from '../lib/host.mjs'

const here = join(import.meta.dirname, 'egress')
const tag = randomInt(0x1000, 0xffff).toString(16)
const [H, X, L] = ['h', 'x', 'l'].map((c) => `fbtest${tag}${c}`)
const dir = mkdtempSync(join(tmpdir(), 'firebreak-egress-'))
const children = []

function ip(...args) {
  const r = spawnSync('ip', args, { encoding: 'utf8' })
  assert.equal(r.status, 0, `ip ${args.join(' ')}: ${r.stderr}`)
}

function inside(ns, program, ...args) {
  const child = spawn('nsenter', [`--net=/run/netns/${ns}`, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

// H has the instance; X is the internet behind 9.9.9.1; L a LAN at 10.77.0.0/24 with a metadata service.
function makeNetworks() {
  for (const ns of [H, X, L]) {
    ip('netns', 'add', ns)
    ip('-n', ns, 'link', 'set', 'lo', 'up')
  }
  ip('-n', H, 'link', 'add', 'wan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', X)
  ip('-n', H, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', L)
  ip('-n', H, 'addr', 'add', '9.9.9.1/24', 'dev', 'wan0')
  ip('-n', H, 'addr', 'add', '10.77.0.254/24', 'dev', 'lan0')
  for (let i = 2; i < 16; i++) ip('-n', X, 'addr', 'add', `9.9.9.${i}/24`, 'dev', 'eth0')
  ip('-n', X, 'addr', 'add', '9.9.9.53/24', 'dev', 'eth0')
  for (const a of ['8.8.8.8', '1.1.1.1', '172.20.0.1', '100.64.0.9', '198.51.100.9', '192.0.2.9']) ip('-n', X, 'addr', 'add', `${a}/32`, 'dev', 'lo')
  ip('-n', L, 'addr', 'add', '10.77.0.1/24', 'dev', 'eth0')
  ip('-n', L, 'addr', 'add', '169.254.169.254/32', 'dev', 'lo')
  for (const [ns, dev] of [[H, 'wan0'], [H, 'lan0'], [X, 'eth0'], [L, 'eth0']]) ip('-n', ns, 'link', 'set', dev, 'up')
  ip('-n', H, 'route', 'add', 'default', 'via', '9.9.9.2')
  ip('-n', H, 'route', 'add', '169.254.169.254/32', 'via', '10.77.0.1')
  ip('-n', X, 'route', 'add', 'default', 'via', '9.9.9.1')
  ip('-n', L, 'route', 'add', 'default', 'via', '10.77.0.254')
}

async function startServers() {
  const r = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj',
    '/CN=test', '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'only.pem')], { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
  spawnSync('sh', ['-c', `cat ${dir}/key.pem ${dir}/only.pem > ${dir}/cert.pem`])
  const world = [...Array(14).keys()].map((i) => `9.9.9.${i + 2}`)
  inside(X, 'python3', join(here, 'internet.py'), dir, 'world', ...world, '9.9.9.53', '8.8.8.8', '1.1.1.1', '172.20.0.1', '100.64.0.9', '198.51.100.9', '192.0.2.9')
  inside(L, 'python3', join(here, 'internet.py'), dir, 'plain', '10.77.0.1', '169.254.169.254')
  const ready = (name) => existsSync(join(dir, `${name}.log`)) && readFileSync(join(dir, `${name}.log`), 'utf8').includes('ready')
  await until('the servers', 60000, () => ready('world') && ready('plain'))
}

// [{name, error}] of every flow.
async function runFlows() {
  const child = inside(H, process.execPath, join(here, 'flows.mjs'), dir)
  let out = ''
  child.stdout.on('data', (d) => (out += d))
  const code = await new Promise((done) => child.once('exit', done))
  const results = out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
  assert.equal(code, 0, `flows.mjs ended with ${code}: ${out.slice(-2000)}`)
  return results
}

test('a sandbox reaches what its policy says and nothing else', { timeout: 800000 }, async (t) => {
  t.after(async () => {
    for (const child of children) {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done))
    }
    for (const ns of [H, X, L]) spawnSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
    if (!process.env.KEEP) rmSync(dir, { recursive: true, force: true })
  })
  makeNetworks()
  await startServers()
  const results = await runFlows()
  for (const r of results)
    await t.test(r.name, () => {
      if (r.error) assert.fail(r.error)
    })
  await t.test('there were at least sixty flows', () => assert.ok(results.length >= 60, `only ${results.length}`))
})
