// SPDX-License-Identifier: Apache-2.0
// Runs every probe (*.c) of this folder through its four parts; README.md says how a probe describes itself.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync, rmSync, chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { constants, networkInterfaces, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { before, after } from 'node:test'
import { claim, e2b, Sandbox } from '../lib/sdk.mjs'

const here = import.meta.dirname
const only = process.env.FIREBREAK_PROBE ?? ''

function describe(file) {
  const text = readFileSync(join(here, file), 'utf8')
  const line = (key) => new RegExp(`^// ${key}:[ ]*(.*)$`, 'm').exec(text)?.[1].trim()
  return {
    name: basename(file, '.c'), outside: line('outside') ?? '', control: line('control') ?? 'got through', inside: line('inside'), orOutside: line('or outside'), thenInside: line('then inside'), as: line('as') ?? 'root',
    argsOutside: line('args outside') ?? '', argsInside: line('args inside') ?? '', setup: line('setup'), apart: /^apart/.test(line('where') ?? ''), small: /small/.test(line('where') ?? ''),
  }
}
const probes = readdirSync(here).filter((f) => f.endsWith('.c') && f.includes(only)).sort().map(describe)

let dir, sandbox, neighbour, listener, abstract, canary, small
const facts = {}
const fill = (text, more = {}) => text.replace(/\{(\w+)\}/g, (_, k) => ({ ...facts, ...more })[k] ?? assert.fail(`no value for {${k}}`))

// On both cores; a probe that does not compile fails its own test only.
async function compileAll() {
  const queue = [...probes]
  const worker = async () => {
    for (let p; (p = queue.shift()); ) {
      const c = spawn('cc', ['-std=gnu17', '-D_GNU_SOURCE', '-O1', '-static', '-Wall', '-Wextra', '-Werror', '-o', join(dir, p.name), join(here, `${p.name}.c`)], { stdio: ['ignore', 'ignore', 'pipe'] })
      let errors = ''
      c.stderr.on('data', (d) => (errors += d))
      const code = await new Promise((done) => c.on('close', done))
      if (code !== 0) p.broken = errors
    }
  }
  await Promise.all([worker(), worker()])
}
const upload = (to, list) =>
  to.files.write(list.map((p) => {
    const b = readFileSync(join(dir, p.name))
    return { path: `/tmp/probes/${p.name}`, data: b.buffer.slice(b.byteOffset, b.byteOffset + b.length) }
  }), { user: 'root' })

before(async () => {
  if (probes.length === 0) return
  dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'firebreak-probes-'))
  chmodSync(dir, 0o755)
  listener = createServer((c) => c.end()).listen(0, '0.0.0.0')
  abstract = createServer((c) => c.end()).listen(`\0firebreak-abstract-${process.pid}`)
  await Promise.all([listener, abstract].map((l) => new Promise((done) => l.once('listening', done))))
  const addresses = Object.values(networkInterfaces()).flat().filter((a) => a.family === 'IPv4').map((a) => a.address)
  const name = `firebreak-canary-${process.pid}`
  canary = spawn('sleep', ['600'], { argv0: name, stdio: 'ignore' })
  const file = join(dir, `of-the-host-${process.pid}`)
  writeFileSync(file, 'of the host')
  Object.assign(facts, { listener_port: listener.address().port, canary_backwards: [...name].reverse().join(''), canary_pid: canary.pid, host_file: file,
    host_addresses: [...new Set(addresses)].join(' '), abstract_name: `firebreak-abstract-${process.pid}`, run_dir: process.env.FIREBREAK_T_RUN })
  ;[sandbox, neighbour] = await Promise.all([Sandbox.create({ timeoutMs: 1_800_000 }), Sandbox.create({ timeoutMs: 1_800_000 }), compileAll()])
  // The base template with a quarter of its memory and a twelfth of its disk: full sooner.
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  small = join(store, 'small.json')
  writeFileSync(small, JSON.stringify({ ...JSON.parse(readFileSync(join(store, 'base.json'), 'utf8')), name: 'small', aliases: [], memoryMB: 512, diskSizeMB: 128 }), { mode: 0o644 })
  await upload(sandbox, probes.filter((p) => !p.broken && !p.apart))
  await sandbox.commands.run('chmod 755 /tmp/probes/*; mkdir -m 777 /tmp/work', { user: 'root' })
})
after(async () => {
  canary?.kill()
  listener?.close()
  abstract?.close()
  await Promise.all([sandbox?.kill(), neighbour?.kill()])
  if (small) rmSync(small, { force: true })
  if (dir) rmSync(dir, { recursive: true, force: true })
})

// What a run said: did it get to the attack, and then its last line or the signal that ended it.
const signals = Object.fromEntries(Object.entries(constants.signals).map(([name, n]) => [128 + n, name]))
const read = (text) => {
  const lines = text.trim().split('\n')
  const rc = Number(/^rc=(\d+)$/.exec(lines.pop())?.[1])
  const outcome = signals[rc] ? `killed ${signals[rc]}` : rc === 0 ? lines.at(-1) ?? '' : `ended with ${rc}: ${lines.at(-1)}`
  return { reached: lines.includes('here'), outcome, text: text.trim().replace(/\n/g, ' | ') }
}
const is = (outcome, expected) => new RegExp(`^(${expected})$`).test(outcome)

// Returns what the attack must come to inside.
function control(p) {
  const work = join(dir, `work-${p.name}`)
  mkdirSync(work)
  if (p.setup) spawnSync('sh', ['-c', fill(p.setup, { probe: join(dir, p.name) })])
  const r = spawnSync('sh', ['-c', `${p.outside} ${join(dir, p.name)} ${fill(p.argsOutside)}; echo rc=$?`], { cwd: work, encoding: 'utf8', timeout: 150000 })
  rmSync(work, { recursive: true, force: true })
  const got = read(r.stdout)
  assert.ok(got.reached, `control: outside it did not even get to the attack: ${got.text} ${r.stderr}`)
  if (is(got.outcome, p.control)) return p.inside
  if (p.orOutside && is(got.outcome, p.orOutside)) return p.thenInside
  assert.fail(`control: outside it came to "${got.outcome}", so this machine cannot show that the attack would work`)
}

// The neighbour is asked again and again until the attack is over: it must answer each time, and at least once.
async function whileServed(promise) {
  let over = false
  const served = (async () => {
    do await works('while it is attacked, the neighbour', neighbour)
    while (!over)
  })()
  try {
    return await promise
  } finally {
    over = true
    await served
  }
}

async function attack(p, inside, expected) {
  if (p.setup) await inside.commands.run(fill(p.setup, { probe: `/tmp/probes/${p.name}` }), { user: 'root' })
  // Where memory ends, the kernel may take the shell that waits for the probe as well: its end by a signal is the probe's.
  const r = await inside.commands.run(`cd /tmp/work && /tmp/probes/${p.name} ${fill(p.argsInside)}; echo rc=$?`, { user: p.as, timeoutMs: 150000 }).catch((e) => {
    if (e instanceof e2b.CommandExitError && /signal: killed/.test(e.error)) return { stdout: `${e.stdout}rc=137\n`, stderr: e.stderr }
    throw e
  })
  const got = read(r.stdout)
  assert.ok(got.reached, `inside it did not get to the attack: ${got.text} ${r.stderr}`)
  assert.ok(is(got.outcome, expected), `inside it came to "${got.outcome}", not to "${expected}" (${got.text})`)
}

const works = async (who, s) => assert.equal((await s.commands.run('echo works', { timeoutMs: 10000 })).stdout, 'works\n', `${who} does not work any more`)

for (const p of probes)
  claim(p.name.replaceAll('_', ' '), { timeout: 400000 }, async () => {
    assert.ok(!p.broken, p.broken)
    assert.ok(p.inside, 'the probe does not say what to expect')
    const expected = control(p)
    let inside = sandbox
    try {
      if (p.apart) {
        inside = await Sandbox.create(p.small ? 'small' : 'base', { timeoutMs: 400_000 })
        await upload(inside, [p])
        await inside.commands.run('chmod 755 /tmp/probes/*; mkdir -m 777 /tmp/work', { user: 'root' })
      }
      await (p.apart ? whileServed(attack(p, inside, expected)) : attack(p, inside, expected))
      await works('the sandbox', inside)
      await works('its neighbour', neighbour)
    } finally {
      if (p.apart) await inside.kill().catch(() => {})
    }
  })
