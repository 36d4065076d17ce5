// SPDX-License-Identifier: Apache-2.0
// Sandboxes from images that were made to hurt: hostile_tree.c makes the trees, hostile_probe.c looks around inside. As a program:
//   node hostile_images.mjs [TREES [SEED [FIRST]]]
// runs TREES of them (10,000) on an instance of its own, two at a time, and goes on where an interrupted run of that SEED ended.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { cgroupDirs } from './host.mjs'

const run = promisify(execFile)

// Everything about a directory of the host that somebody could change.
export function fingerprint(dir) {
  const h = createHash('sha256')
  const walk = (path) => {
    const st = lstatSync(path, { bigint: true })
    h.update(`${path}\0${st.mode} ${st.uid} ${st.gid} ${st.size} ${st.nlink} ${st.ino} ${st.mtimeNs} ${st.ctimeNs} `)
    if (st.isDirectory()) for (const name of readdirSync(path).sort()) walk(join(path, name))
    else h.update(st.isSymbolicLink() ? readlinkSync(path) : readFileSync(path))
  }
  walk(dir)
  return h.digest('hex')
}

// A directory that asks to be written to: open to everybody, with all the names that a set-up would use.
function makeCanary(dir) {
  mkdirSync(dir)
  for (const name of ['dir', 'dir/sub', 'proc', 'dev', 'sys', 'run', 'upper', 'lower', 'work', 'root', 'pts', 'shm', 'e2b', 'bin', 'usr', 'usr/bin']) mkdirSync(join(dir, name))
  for (const name of ['file', 'passwd', 'null', 'sudo', 'usr/bin/sudo', 'dev/null', 'proc/kcore', 'dir/sub/file']) writeFileSync(join(dir, name), 'of the host')
  for (const name of ['', 'dir', 'dir/sub', 'proc', 'dev', 'run', 'file', 'passwd', 'null', 'sudo', 'usr/bin', 'usr/bin/sudo', 'dev/null']) chmodSync(join(dir, name), 0o777)
}

export class HostileImages {
  // store: the template directory of an instance; Sandbox: the SDK's; instance: its name, for what it may leave behind.
  constructor({ store, Sandbox, instance }) {
    Object.assign(this, { store, Sandbox, instance })
    this.work = mkdtempSync('/var/tmp/firebreak-trees-') // not in /tmp, over which the set-up mounts its stage before it looks at the image
    chmodSync(this.work, 0o755)
    this.canary = join(this.work, 'canary')
    makeCanary(this.canary)
    const cc = (name, ...more) => execFileSync('cc', ['-std=gnu17', '-D_GNU_SOURCE', '-O1', '-Wall', '-Wextra', '-Werror', ...more, '-o', join(this.work, name), join(import.meta.dirname, `hostile_${name}.c`)])
    cc('tree')
    cc('probe', '-static', `-DCANARY="${this.canary}"`)
    this.recipe = JSON.parse(readFileSync(join(store, 'base.json')))
    this.before = fingerprint(this.canary)
  }

  async build(seed) {
    const tree = join(this.work, `tree-${seed}`)
    const image = join(this.work, `image-${seed}`)
    const { stdout } = await run(join(this.work, 'tree'), [tree, String(seed), join(this.work, 'probe'), this.canary], { encoding: 'latin1' })
    await run('mkfs.erofs', ['-T0', '-U00000000-0000-0000-0000-000000000000', '--quiet', image, tree])
    const digest = createHash('sha256').update(readFileSync(image)).digest('hex')
    const files = [join(this.store, `${digest}.erofs`), join(this.store, `hostile-${seed}.json`)]
    await run('install', ['-m', '444', image, files[0]])
    writeFileSync(files[1], JSON.stringify({ ...this.recipe, name: `hostile-${seed}`, aliases: [], digest, memoryMB: 256, diskSizeMB: 64, user: 'root', workdir: '/' }), { mode: 0o644 })
    rmSync(image)
    if (fingerprint(this.canary) !== this.before) throw new Error(`making tree ${seed} has changed the canary, before any sandbox was there`)
    await run('rm', ['-rf', '--one-file-system', tree])
    return { files, story: stdout.trim() }
  }

  // What came of one tree: {started, ran, said, faults: [...]}.
  async attack(seed) {
    const { files, story } = await this.build(seed)
    const result = { seed, story, started: false, ran: false, said: '', faults: [] }
    let s
    try {
      s = await this.Sandbox.create(`hostile-${seed}`, { timeoutMs: 60_000, requestTimeoutMs: 30_000 })
      result.started = true
      const r = await s.commands.run('true', { user: 'root', cwd: '/', timeoutMs: 15_000, requestTimeoutMs: 20_000 }).catch((e) => e)
      result.said = `${r.stdout ?? ''}${r.stderr ?? ''}${r.stdout || r.stderr ? '' : r.message ?? ''}`.trim()
      result.ran = /^posture ok, \d+ devices shut$/.test(result.said)
      for (const line of result.said.split('\n')) if (line.startsWith('FAULT')) result.faults.push(line)
    } catch (e) {
      result.said = e.message
      // "could not start the sandbox: STEP: why", or what the API said about envd.
      if (s || !/could not start the sandbox: .+: .+/.test(e.message)) result.faults.push(`neither started nor named a step: ${e.message}`)
    } finally {
      if (s) await s.kill().catch((e) => result.faults.push(`not killed: ${e.message}`))
      for (const f of files) rmSync(f, { force: true })
    }
    return result
  }

  // Between trees: the canary is as it was, and only the groups of the sandboxes that are meant to run.
  hostIsAsBefore() {
    return fingerprint(this.canary) === this.before
  }
  groups() {
    return [...new Set(cgroupDirs(this.instance).filter((d) => /\/i[a-z0-9]{19}$/.test(d)).map((d) => basename(d)))]
  }

  end() {
    rmSync(this.work, { recursive: true, force: true })
  }
}

// Each result goes to `each` as it comes; two at a time.
export async function attackWith(images, seeds, each) {
  const queue = [...seeds]
  const worker = async () => {
    for (let seed; (seed = queue.shift()) !== undefined; ) await each(await images.attack(seed))
  }
  await Promise.all([worker(), worker()])
}

async function main([trees = '10000', seed = String(Date.now() % 1e6), from]) {
  const { Instance, leftoversAfterAMoment, build } = await import('./instance.mjs')
  const bookmark = join(build, `hostile-images-${seed}`)
  let first = Number(from ?? (existsSync(bookmark) ? readFileSync(bookmark, 'utf8') : 0))
  console.log(`seed ${seed}, trees ${first} to ${Number(trees) - 1}; make hostile-images N=${trees} SEED=${seed} goes on with it`)
  const i = await Instance.start()
  Object.assign(process.env, i.env)
  const { Sandbox } = await import('./sdk.mjs')
  const images = new HostileImages({ store: join(i.state, 'templates'), Sandbox, instance: i.name })
  process.on('exit', () => images.end()) // also when it is interrupted
  const count = { trees: 0, started: 0, ran: 0, refused: 0, faulty: 0 }
  const steps = new Map()
  const began = performance.now()
  const seeds = Array.from({ length: Number(trees) - first }, (_, k) => Number(seed) * 1_000_000 + first + k)
  await attackWith(images, seeds, async (r) => {
    count.trees++
    count.started += r.started
    count.ran += r.ran
    count.refused += !r.started
    const key = r.started ? r.said.split('\n')[0].replace(/\d+/g, 'N').slice(0, 90) : r.said.replace(/\d+/g, 'N').slice(0, 120)
    steps.set(key, (steps.get(key) ?? 0) + 1)
    if (r.faults.length || !images.hostIsAsBefore()) {
      count.faulty++
      console.log(`FAULT with tree ${r.seed}: ${images.hostIsAsBefore() ? r.faults.join('; ') : 'THE HOST WAS CHANGED'}`)
      if (count.faulty <= 20) console.log(r.story.split('\n').slice(0, 8).map((l) => `    ${JSON.stringify(l)}`).join('\n'))
    }
    if (count.trees % 100 === 0) {
      writeFileSync(bookmark, String(first + count.trees - 2)) // one may still be under way
      console.log(`${first + count.trees} trees, ${JSON.stringify(count)}, ${((performance.now() - began) / count.trees).toFixed(0)} ms each`)
    }
  })
  const changed = !images.hostIsAsBefore()
  images.end()
  await i.stop()
  const left = await leftoversAfterAMoment(i)
  i.forget()
  for (const [what, n] of [...steps].sort((a, b) => b[1] - a[1])) console.log(`${String(n).padStart(7)}  ${what}`)
  console.log(`${JSON.stringify(count)}; host ${changed ? 'CHANGED' : 'unchanged'}; left over: ${left.length ? left.join('; ') : 'nothing'}`)
  if (count.faulty === 0 && existsSync(bookmark)) rmSync(bookmark)
  process.exit(count.faulty || changed || left.length ? 1 : 0)
}
if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2))
