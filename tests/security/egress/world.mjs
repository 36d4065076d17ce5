// SPDX-License-Identifier: Apache-2.0
// A small world for tests of networks, in network namespaces that exist nowhere else: H has the instance; X is the internet behind 9.9.9.1;
// L a LAN at 10.77.0.0/24 with a metadata service. `end` removes all of it.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { randomInt } from 'node:crypto'
import { until } from '../../lib/host.mjs'

function ip(...args) {
  const r = spawnSync('ip', args, { encoding: 'utf8' })
  assert.equal(r.status, 0, `ip ${args.join(' ')}: ${r.stderr}`)
}

const EVERYWHERE = ['8.8.8.8', '1.1.1.1', '172.20.0.1', '100.64.0.9', '198.51.100.9', '192.0.2.9']
const HOSTS = [...Array(14).keys()].map((i) => `9.9.9.${i + 2}`)

export class World {
  constructor() {
    const tag = randomInt(0x1000, 0xffff).toString(16)
    ;[this.H, this.X, this.L] = ['h', 'x', 'l'].map((c) => `fbtest${tag}${c}`)
    this.dir = mkdtempSync(join(tmpdir(), 'firebreak-egress-'))
    this.children = []
  }

  inside(ns, program, ...args) {
    const child = spawn('nsenter', [`--net=/run/netns/${ns}`, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.children.push(child)
    return child
  }

  makeNetworks() {
    const { H, X, L } = this
    for (const ns of [H, X, L]) {
      ip('netns', 'add', ns)
      ip('-n', ns, 'link', 'set', 'lo', 'up')
    }
    ip('-n', H, 'link', 'add', 'wan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', X)
    ip('-n', H, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', L)
    ip('-n', H, 'addr', 'add', '9.9.9.1/24', 'dev', 'wan0')
    ip('-n', H, 'addr', 'add', '10.77.0.254/24', 'dev', 'lan0')
    for (const a of [...HOSTS, '9.9.9.53']) ip('-n', X, 'addr', 'add', `${a}/24`, 'dev', 'eth0')
    for (let i = 21; i < 30; i++) ip('-n', X, 'addr', 'add', `9.9.9.${i}/24`, 'dev', 'eth0') // for servers of a test's own
    for (const a of EVERYWHERE) ip('-n', X, 'addr', 'add', `${a}/32`, 'dev', 'lo')
    ip('-n', L, 'addr', 'add', '10.77.0.1/24', 'dev', 'eth0')
    ip('-n', L, 'addr', 'add', '169.254.169.254/32', 'dev', 'lo')
    for (const [ns, dev] of [[H, 'wan0'], [H, 'lan0'], [X, 'eth0'], [L, 'eth0']]) ip('-n', ns, 'link', 'set', dev, 'up')
    ip('-n', H, 'route', 'add', 'default', 'via', '9.9.9.2')
    ip('-n', H, 'route', 'add', '169.254.169.254/32', 'via', '10.77.0.1')
    ip('-n', X, 'route', 'add', 'default', 'via', '9.9.9.1')
    ip('-n', L, 'route', 'add', 'default', 'via', '10.77.0.254')
  }

  // Waits for "ready" in DIR/NAME.log of each.
  async ready(...names) {
    const ready = (name) => existsSync(join(this.dir, `${name}.log`)) && readFileSync(join(this.dir, `${name}.log`), 'utf8').includes('ready')
    await until('the servers', 60000, () => names.every(ready))
  }

  async startServers() {
    const { dir } = this
    const r = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj',
      '/CN=test', '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'only.pem')], { encoding: 'utf8' })
    assert.equal(r.status, 0, r.stderr)
    spawnSync('sh', ['-c', `cat ${dir}/key.pem ${dir}/only.pem > ${dir}/cert.pem`])
    this.inside(this.X, 'python3', join(import.meta.dirname, 'internet.py'), dir, 'world', ...HOSTS, '9.9.9.53', ...EVERYWHERE)
    this.inside(this.L, 'python3', join(import.meta.dirname, 'internet.py'), dir, 'plain', '10.77.0.1', '169.254.169.254')
    await this.ready('world', 'plain')
  }

  // [{name, error}] of every flow of a program in H.
  async runFlows(file) {
    const child = this.inside(this.H, process.execPath, join(import.meta.dirname, file), this.dir)
    let out = ''
    child.stdout.on('data', (d) => (out += d))
    const code = await new Promise((done) => child.once('exit', done))
    const results = out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
    assert.equal(code, 0, `${file} ended with ${code}: ${out.slice(-2000)}`)
    return results
  }

  async end() {
    for (const child of this.children) {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done))
    }
    for (const ns of [this.H, this.X, this.L]) spawnSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
    if (!process.env.KEEP) rmSync(this.dir, { recursive: true, force: true })
  }
}
