// SPDX-License-Identifier: Apache-2.0
// FAULT_CYCLES (2000) sandboxes are made and killed through HTTP by FAULT_CLIENTS (4) clients against one instance. What must not grow
// is sampled, and its slope per 1,000 cycles is printed with a verdict. The first fifth warms up what is made once.
// The instance's own counts are judged. The host's (cgroups, network namespaces, interfaces, slab, connections tracked) are told, and
// judged with FAULT_ALONE=1, when nothing else runs on the machine.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { readFileSync, readdirSync } from 'node:fs'
import { Instance, leftoversAfterAMoment } from '../lib/instance.mjs'
import { cgroupDirs, interfaces, sandboxPids, status, until } from '../lib/host.mjs'
import { check, newAgent, request } from './client.mjs'

const CYCLES = Number(process.env.FAULT_CYCLES ?? 2000)
const CLIENTS = Number(process.env.FAULT_CLIENTS ?? 4)
const ALONE = process.env.FAULT_ALONE === '1'
const SAMPLES = 40

const read = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
const lines = (path) => read(path).split('\n').length - 1
const number = (path, re) => Number(re.exec(read(path))?.[1] ?? 0)

let i, idle
before(async () => {
  i = await Instance.start()
})
after(() => i?.end())

// name -> [unit, tolerated slope per 1,000 cycles, of the host?, how it is read]. A descriptor, thread, mount or group per thousand
// sandboxes would be a leak. Memory: SQLite's cache grows to its 2 MiB in the first ten thousand, which a short run is all within.
const MEMORY = CYCLES >= 20000 ? 50 : 1024
const pid = (name) => i.daemon(name)
const measures = {}
for (const name of ['warden', 'e2b-sandbox', 'firebreak']) {
  const of = () => (name === 'firebreak' ? i.child.pid : pid(name))
  measures[`${name} memory`] = ['KiB', MEMORY, false, () => number(`/proc/${of()}/status`, /VmRSS:\s+(\d+)/)]
  measures[`${name} descriptors`] = ['', 0.5, false, () => readdirSync(`/proc/${of()}/fd`).length]
  measures[`${name} threads`] = ['', 0.5, false, () => Number(status(of()).Threads)]
}
measures['warden mounts'] = ['', 0.5, false, () => lines(`/proc/${pid('warden')}/mountinfo`)]
measures['instance cgroups'] = ['', 0.5, false, () => cgroupDirs(`e2b-sandbox-${i.name}`).length]
measures['instance files'] = ['', 0.5, false, () => readdirSync(`${i.run}/sb`).length]
measures['host mounts'] = ['', 0.5, true, () => lines('/proc/self/mountinfo')]
measures['host cgroups'] = ['', 2, true, () => number('/proc/cgroups', /^memory\s+\d+\s+(\d+)/m)]
measures['host net namespaces'] = ['', 2, true, () => number('/proc/slabinfo', /^net_namespace\s+(\d+)/m)]
measures['host interfaces'] = ['', 0.5, true, () => interfaces().length]
measures['host connections tracked'] = ['', 5, true, () => Number(read('/proc/sys/net/netfilter/nf_conntrack_count') || 0)]
measures['host SUnreclaim'] = ['KiB', 2048, true, () => number('/proc/meminfo', /SUnreclaim:\s+(\d+)/)]
measures['host SReclaimable'] = ['KiB', 65536, true, () => number('/proc/meminfo', /SReclaimable:\s+(\d+)/)]

const samples = [] // {cycles, name: value, ...}
// Between two sandboxes, or what is counted would be that of those that live.
async function sample(cycles) {
  await until('the instance to be empty', 20000, () => readdirSync(`${i.run}/sb`).every((f) => f === 'warden.lock'))
  const one = { cycles }
  for (const [name, m] of Object.entries(measures)) one[name] = m[3]()
  samples.push(one)
}

// Least squares, per 1,000 cycles.
function slope(name) {
  const warm = samples.filter((s) => s.cycles >= CYCLES / 5)
  const mean = (f) => warm.reduce((sum, s) => sum + f(s), 0) / warm.length
  const [x, y] = [mean((s) => s.cycles), mean((s) => s[name])]
  return (1000 * warm.reduce((sum, s) => sum + (s.cycles - x) * (s[name] - y), 0)) / warm.reduce((sum, s) => sum + (s.cycles - x) ** 2, 0)
}

async function cycle(agent) {
  const made = await request(i, 'POST', '/sandboxes', { agent, json: { templateID: 'base', timeout: 300 } })
  assert.equal(made.status, 201, made.text)
  idle ??= sandboxPids(made.json.sandboxID).length
  assert.equal((await request(i, 'DELETE', `/sandboxes/${made.json.sandboxID}`, { agent })).status, 204)
}

test(`${CYCLES} sandboxes made and killed leave nothing and grow nothing`, { timeout: Infinity }, async () => {
  const begun = performance.now()
  const agents = Array.from({ length: CLIENTS }, newAgent)
  for (let done = 0; done < CYCLES; ) {
    const n = Math.min(Math.ceil(CYCLES / SAMPLES), CYCLES - done)
    let left = n
    await Promise.all(agents.map(async (agent) => {
      while (left-- > 0) await cycle(agent)
    }))
    done += n
    await sample(done)
    if (samples.length % 10 === 0) console.error(`# ${done} cycles, ${(done / ((performance.now() - begun) / 1000)).toFixed(1)}/s`)
  }
  agents.forEach((a) => a.destroy())
  const leaks = []
  for (const [name, [unit, most, ofHost]] of Object.entries(measures)) {
    const s = slope(name)
    const judged = !ofHost || ALONE
    const grew = judged && s > most
    if (grew) leaks.push(`${name} grows by ${s.toFixed(2)} ${unit} per 1,000 cycles`)
    console.error(`# ${name.padEnd(26)} ${String(samples[0][name]).padStart(8)} -> ${String(samples.at(-1)[name]).padStart(8)} ${unit.padEnd(3)} ${s.toFixed(2).padStart(9)} per 1,000 (at most ${most}): ${grew ? 'GROWS' : judged ? 'flat' : 'told'}`)
  }
  console.error(`# ${CYCLES} cycles in ${((performance.now() - begun) / 1000).toFixed(0)} s, ${CLIENTS} clients, ${(CYCLES / ((performance.now() - begun) / 1000)).toFixed(1)}/s`)
  assert.ok(idle >= 2, 'no sandbox was seen alive')
  check(i, '--settle-ms', '5000')
  assert.deepEqual(leaks, [])
  assert.equal((await i.stop()).code, 0)
  check(i, '--stopped', '--uid-base', String(i.uidBase), '--settle-ms', '5000')
  assert.deepEqual(await leftoversAfterAMoment(i), [])
})
