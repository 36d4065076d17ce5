// SPDX-License-Identifier: Apache-2.0
// What networks cost: create with and without, and requests from a sandbox to a server, forwarded by the kernel, passed through by netd, and with a
// header set (port 80: netd; TLS: tlsd). Client, proxy and server share the machine: compare within one run. Runs in the world of tests/security/egress.
import { readFileSync } from 'node:fs'
import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

const [dir, role] = process.argv.slice(2)
const samples = Number(process.env.BENCH_N ?? 30), seconds = Number(process.env.BENCH_SECONDS ?? 5)
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]

// Runs in the sandbox: requests a second over 8 kept connections, and the median time of one over a connection of its own.
const CLIENT = `
const [scheme, host, seconds] = process.argv.slice(2)
const { Agent, get } = require(scheme)
let known
const lookup = (name, o, done) => { // names are asked for once: the resolver takes twenty questions a second
  const say = () => (o.all ? done(null, [{ address: known, family: 4 }]) : done(null, known, 4))
  if (known) say()
  else require('dns').lookup(name, { family: 4 }, (e, address) => { if (e) return done(e); known = address; say() })
}
const one = (agent) => new Promise((done, failed) => get({ host, agent, lookup, rejectUnauthorized: false }, (r) => { r.resume(); r.on('end', done); r.statusCode === 200 || failed(new Error(r.statusCode)) }).on('error', failed))
;(async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  await one(agent)
  let n = 0
  const end = performance.now() + seconds * 1000
  await Promise.all([...Array(8)].map(async () => { while (performance.now() < end) { await one(agent); n++ } }))
  const times = []
  for (let i = 0; i < 50; i++) { const t = performance.now(); await one(new Agent()); times.push(performance.now() - t) }
  console.log(JSON.stringify([n / seconds, times.sort((a, b) => a - b)[25]]))
  process.exit()
})()`

async function serve() {
  const answer = (q, a) => a.end('x'.repeat(1000))
  const pem = (end) => readFileSync(join(dir, `api.example.${end}`))
  for (const address of ['9.9.9.21', '9.9.9.22', '9.9.9.23']) {
    createServer(answer).listen(80, address)
    createSecureServer({ key: pem('key'), cert: pem('pem') }, answer).listen(443, address)
  }
}

async function measure() {
  const { Instance } = await import('../lib/instance.mjs')
  const { Sandbox } = await import('../lib/sdk.mjs')
  const instance = await Instance.start({ args: ['--internet', 'allow', '--net-dns', '9.9.9.53', '--net-ca', join(dir, 'ca.pem'), '--pool-max', '0', '--net-bytes', '4000000000'] })
  const create = (options) => Sandbox.create({ ...instance.sdk, timeoutMs: 300000, ...options })
  const denyOut = ['0.0.0.0/0']
  const rules = { 'api.example': [{ transform: { headers: { Authorization: 'Bearer x' } } }] }
  const kinds = { 'no network': { allowInternetAccess: false }, 'open': {}, '3 names': { network: { allowOut: ['api.example', 'other.example', '9.9.9.23'], denyOut } },
    '3 names, 1 header': { network: { allowOut: ['api.example', 'other.example', '9.9.9.23'], denyOut, rules } } }
  const times = Object.fromEntries(Object.keys(kinds).map((k) => [k, []]))
  const all = Object.entries(kinds)
  for (let i = 0; i < samples; i++)
    for (const [k, options] of [...all.slice(i % all.length), ...all.slice(0, i % all.length)]) { // the end of one weighs on the next
      const t = performance.now()
      const s = await create(options)
      times[k].push(performance.now() - t)
      await s.kill()
    }
  console.log(`create, without a pool, p50 of ${samples}, ms`)
  for (const [k, list] of Object.entries(times)) console.log(`  ${k.padEnd(20)} ${median(list).toFixed(1).padStart(8)}`)
  const s = await create(kinds['3 names, 1 header'])
  await s.files.write('/tmp/client.js', CLIENT)
  const run = async (scheme, host) => JSON.parse((await s.commands.run(`node /tmp/client.js ${scheme} ${host} ${seconds}`, { timeoutMs: 120000 })).stdout)
  console.log('requests from a sandbox: a second over 8 connections; p50 ms of one over a connection of its own')
  for (const scheme of ['http', 'https'])
    for (const [what, host] of [['forwarded', '9.9.9.23'], ['passed through', 'other.example'], ['header set', 'api.example']]) {
      const [rate, one] = await run(scheme, host)
      console.log(`  ${scheme.padEnd(6)} ${what.padEnd(16)} ${rate.toFixed(0).padStart(7)} /s ${one.toFixed(2).padStart(8)} ms`)
    }
  await s.kill()
  const end = await instance.stop()
  instance.forget()
  process.exit(end.code)
}

async function main() {
  const { World } = await import('../security/egress/world.mjs')
  const world = new World()
  let code = 1
  try {
    world.makeNetworks()
    await world.startServers()
    const made = spawnSync('python3', [join(import.meta.dirname, '../security/egress/origin.py'), world.dir, 'certificates'], { encoding: 'utf8' })
    if (made.status !== 0) throw new Error(made.stderr)
    world.inside(world.X, process.execPath, import.meta.filename, world.dir, 'serve')
    const child = spawn('nsenter', [`--net=/run/netns/${world.H}`, process.execPath, import.meta.filename, world.dir, 'measure'], { stdio: ['ignore', 'inherit', 'inherit'] })
    code = await new Promise((done) => child.once('exit', done))
  } finally {
    await world.end()
  }
  process.exit(code)
}

await { serve, measure }[role]?.() ?? (role ? undefined : main())
