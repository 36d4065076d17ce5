// SPDX-License-Identifier: Apache-2.0
// One private Firebreak: own name, directories, port and uid range. start() returns when it serves; stop() ends it as Ctrl-C does;
// leftovers() lists what a stopped instance has left on the host, which should be nothing.
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, readdirSync, rmSync, chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, join, resolve } from 'node:path'
import { tmpdir } from 'node:os'
import { randomInt } from 'node:crypto'
import * as host from './host.mjs'

export const root = resolve(import.meta.dirname, '../..')
export const build = resolve(root, process.env.FIREBREAK_BUILD ?? 'build')
export const program = (name) => join(build, 'src', name, name)
export const templates = process.env.FIREBREAK_TEMPLATES ?? '/var/lib/firebreak/templates'

const SLOTS = 64 // sandboxes of one instance, as `up` has it by default; a range of uids is a multiple of it
const RANGES = 800 // of that many sandboxes, above the ranges of instances that are not tests
const FIRST_UID = 536870912

// A range of uids that no other instance of these tests has, on this machine, now. The lock is a name that only one process can
// listen on, and that goes with it; and nobody who is left from another time may live there.
async function takeUids(slots) {
  const ranges = Math.ceil(slots / SLOTS)
  for (let tries = 0; tries < 50; tries++) {
    const n = randomInt(0, RANGES - ranges + 1)
    const locks = Array.from({ length: ranges }, () => createServer())
    const taken = await Promise.all(locks.map((lock, k) =>
      new Promise((done) => lock.once('error', () => done(false)).listen(`\0firebreak-test-uids-${n + k}`, () => done(true)))))
    const base = FIRST_UID + n * SLOTS * host.UIDS_PER_SANDBOX
    if (taken.every(Boolean) && host.pidsWithUids(base, ranges * SLOTS * host.UIDS_PER_SANDBOX).length === 0) {
      locks.forEach((lock) => lock.unref())
      return { base, lock: locks }
    }
    locks.forEach((lock, k) => taken[k] && lock.close())
  }
  throw new Error('found no free range of uids for a test instance')
}

async function freePort() {
  const server = createServer()
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done))
  const { port } = server.address()
  await new Promise((done) => server.close(done))
  return port
}

// The template store of the instance: hard links to the files of the given one, or copies on another file system.
function takeTemplates(to) {
  mkdirSync(to, { recursive: true, mode: 0o755 })
  const recipes = existsSync(templates) ? readdirSync(templates).filter((f) => /^\w[\w-]*\.json$/.test(f)) : []
  const files = recipes.flatMap((f) => [f, `${JSON.parse(readFileSync(join(templates, f))).digest}.erofs`])
  if (!files.includes('base.json')) throw new Error(`${templates} has no template base: run "firebreak template build base" or set FIREBREAK_TEMPLATES`)
  for (const f of new Set(files)) {
    try {
      linkSync(join(templates, f), join(to, f))
    } catch {
      copyFileSync(join(templates, f), join(to, f))
      chmodSync(join(to, f), f.endsWith('.erofs') ? 0o444 : 0o644)
    }
  }
}

const running = new Set()
process.on('exit', () => running.forEach((i) => i.endAtOnce()))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

export class Instance {
  // slots: how many sandboxes it may have at once.
  static async start({ args = [], env = {}, slots = SLOTS } = {}) {
    for (const name of ['firebreak', 'recorder', 'shipper', 'warden', 'jailmon', 'netd', 'envd', 'e2b-sandbox'])
      if (!existsSync(program(name))) throw new Error(`${program(name)} is not built`)
    const i = new Instance()
    i.name = `t${randomInt(0x100000, 0xffffff).toString(16)}`
    i.dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), `firebreak-${i.name}-`))
    chmodSync(i.dir, 0o755)
    i.state = join(i.dir, 'state')
    // In a directory of its own where FIREBREAK_TEST_RUN says so: an installation's is in memory.
    i.run = process.env.FIREBREAK_TEST_RUN ? mkdtempSync(join(process.env.FIREBREAK_TEST_RUN, `firebreak-${i.name}-`)) : join(i.dir, 'run')
    if (existsSync(i.run)) chmodSync(i.run, 0o755)
    i.log = join(i.dir, 'up.log')
    i.port = await freePort()
    i.url = `http://127.0.0.1:${i.port}`
    ;({ base: i.uidBase, lock: i.uidLock } = await takeUids(slots))
    i.slots = slots
    // Tests count what runs and know its name: sandboxes that nobody asked for are in those that ask for them, and in all of
    // them with FIREBREAK_TEST_POOL=N.
    i.args = args.includes('--pool-max') ? args : ['--pool-max', process.env.FIREBREAK_TEST_POOL ?? '0', ...args]
    i.extraEnv = env
    i.interfaces = host.interfaces()
    i.ids = new Set()
    mkdirSync(i.state, { mode: 0o755 })
    takeTemplates(join(i.state, 'templates'))
    await i.up()
    return i
  }

  // Also starts a stopped instance again.
  async up() {
    if (this.isUp) throw new Error('firebreak up runs already')
    const out = openSync(this.log, 'a')
    const child = spawn(
      this.program ?? program('firebreak'), // another build of it, for upgrades
      ['up', '--instance', this.name, '--state', this.state, '--run', this.run, '--listen', `127.0.0.1:${this.port}`,
        '--uid-base', String(this.uidBase), ...(this.slots > SLOTS ? ['--max-sandboxes', String(this.slots)] : []), ...this.args],
      { stdio: ['ignore', out, out], detached: true, env: { PATH: process.env.PATH, HOME: '/root', ...this.extraEnv } },
    )
    closeSync(out)
    this.child = child
    this.ended = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })))
    running.add(this)
    let over = null
    this.ended.then((r) => (over = r))
    try {
      await host.until('firebreak up to serve GET /health', 20000, async () => {
        if (over) throw new Error(`firebreak up ended: ${JSON.stringify(over)}`)
        return existsSync(join(this.state, 'api.key')) && (await this.isServing())
      })
    } catch (e) {
      const log = this.logText()
      await this.stop().catch(() => {})
      throw new Error(`${e.message}\n${log.slice(-4000)}`)
    }
    this.key = readFileSync(join(this.state, 'api.key'), 'utf8').trim()
  }

  get isUp() {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  async isServing() {
    try {
      return (await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(1000) })).status === 204
    } catch {
      return false
    }
  }

  logText() {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : ''
  }

  // The environment that the printed lines of `up` tell a user to set.
  get env() {
    return { E2B_API_KEY: this.key, E2B_API_URL: this.url, E2B_SANDBOX_URL: this.url, E2B_DOMAIN: `127.0.0.1:${this.port}` }
  }
  // Options of one SDK call, for tests with several instances.
  get sdk() {
    return { apiKey: this.key, apiUrl: this.url, sandboxUrl: this.url }
  }

  cli(args, { input, env = {}, timeout = 60000 } = {}) {
    const r = spawnSync(program('firebreak'), args, {
      input: input ?? '',
      encoding: 'utf8',
      timeout,
      env: {
        PATH: process.env.PATH, HOME: '/root', ...this.env, FIREBREAK_INSTANCE: this.name, FIREBREAK_STATE: this.state, FIREBREAK_RUN: this.run,
        FIREBREAK_LISTEN: `127.0.0.1:${this.port}`, ...env,
      },
    })
    return { code: r.status, signal: r.signal, stdout: r.stdout, stderr: r.stderr }
  }

  // Host pid of a daemon of this instance, or undefined.
  daemon(name) {
    return host.pids().find((pid) => basename(host.exe(pid)) === name && host.commandLine(pid).includes(this.run))
  }

  async stop() {
    if (this.isUp) this.child.kill('SIGINT')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 30000)
    this.result = await this.ended
    clearTimeout(timer)
    running.delete(this)
    return this.result
  }

  // For hooks: nothing of it may be left for the next test, whatever has happened.
  async end() {
    if (this.isUp) await this.stop()
    if (this.sandboxProcesses().length || this.daemon('warden') || this.daemon('netd') || this.daemon('tlsd') || this.daemon('e2b-sandbox') || this.daemon('recorder')) this.endAtOnce()
    this.forget()
  }

  // After an accident (killed daemons, a test that died): whatever it takes to have nothing running.
  endAtOnce() {
    running.delete(this)
    this.child.kill('SIGKILL')
    for (const name of ['e2b-sandbox', 'tlsd', 'netd', 'warden', 'recorder', 'shipper']) {
      const pid = this.daemon(name)
      if (pid) process.kill(pid, 'SIGKILL')
    }
    if (existsSync(program('warden')))
      spawnSync(program('warden'), ['--instance', this.name, '--state', this.state, '--run', this.run, '--api-uid', '65532', '--uid-base',
        String(this.uidBase), '--max-sandboxes', String(this.slots), '--jailmon', program('jailmon'), '--envd', program('envd'), '--stop-all'], { stdio: 'ignore', timeout: 20000 })
    for (const pid of host.pidsWithUids(this.uidBase, this.slots * host.UIDS_PER_SANDBOX)) process.kill(pid, 'SIGKILL')
  }

  sandboxProcesses() {
    return host.pidsWithUids(this.uidBase, this.slots * host.UIDS_PER_SANDBOX)
  }

  // What is left on the host of a stopped instance: [] is the only right answer.
  leftovers() {
    const left = []
    for (const pid of this.sandboxProcesses()) left.push(`process ${pid} ${host.status(pid)?.Name} uid ${host.status(pid)?.Uid[0]}`)
    for (const pid of host.pids()) {
      const line = host.commandLine(pid)
      if (line.some((a) => a.startsWith(this.dir)) && pid !== process.pid && !/node$/.test(host.exe(pid))) left.push(`process ${pid} ${line[0]}`)
    }
    for (const word of [this.name, ...this.ids]) {
      for (const dir of host.cgroupDirs(word)) left.push(`cgroup ${dir}`)
      for (const mount of host.mounts(word)) left.push(`mount ${mount}`)
    }
    const known = new Set(this.interfaces)
    for (const name of host.interfaces()) if (!known.has(name) && /^(fb|veth)/.test(name)) left.push(`interface ${name}`)
    for (const d of readdirSync('/sys/block').filter((n) => /^loop/.test(n))) {
      const backing = `/sys/block/${d}/loop/backing_file`
      if (existsSync(backing) && readFileSync(backing, 'utf8').startsWith(this.dir)) left.push(`loop device ${d}`)
    }
    const walk = (dir) => {
      for (const e of existsSync(dir) ? readdirSync(dir, { withFileTypes: true }) : []) {
        const path = join(dir, e.name)
        if (e.isDirectory()) walk(path)
        else if (e.name !== 'up.pid') left.push(`file ${path}`) // the lock file stays: deleting a lock is a race
      }
    }
    walk(this.run)
    return [...new Set(left)]
  }

  forget() {
    if (process.env.KEEP) console.error(`# kept: ${this.dir}`)
    else for (const dir of [this.dir, this.run]) rmSync(dir, { recursive: true, force: true })
  }
}

// Removing a cgroup or reaping a process takes the kernel a moment: give it one, then say what is still there.
export async function leftoversAfterAMoment(instance, ms = 2000) {
  try {
    await host.until('nothing to be left', ms, () => instance.leftovers().length === 0)
    return []
  } catch {
    return instance.leftovers()
  }
}
