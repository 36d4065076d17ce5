// SPDX-License-Identifier: Apache-2.0
// The recorder, killed at each system call of the way of a record, by enumeration; then each call failing once. After each: it is started
// again, and everything that was answered is there, once; what was not answered can be sent again, and is there once; the record is
// whole. RECORD_CALLS=n takes the first n calls only.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build, program } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'

const MOST = Number(process.env.RECORD_CALLS ?? Infinity)
const RECORDS = 3 // on each way, one after the other: the way is walked more than once
const at_call = join(build, 'tests/fault/at_call')
const client = join(build, 'tests/fault/record_client')

let dir, recorder
before(() => {
  dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'firebreak-record-'))
  mkdirSync(join(dir, 'run'))
})
after(async () => {
  await stop()
  rmSync(dir, { recursive: true, force: true })
})

const socket = () => join(dir, 'run', 'recorder.sock')
async function up() {
  const child = spawn(program('recorder'), ['--state', dir, '--run', join(dir, 'run'), '--head-every', '1'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  child.stderr.on('data', (d) => (text += d))
  child.over = new Promise((done) => child.once('exit', done))
  recorder = child
  await until('the recorder to serve', 5000, () => {
    assert.equal(child.exitCode, null, text)
    return text.includes('recorder_ready')
  })
}
async function stop(signal = 'SIGTERM') {
  recorder?.kill(signal)
  await recorder?.over
}
const isUp = () => recorder.exitCode === null && recorder.signalCode === null

async function follow(what, at, error) {
  const c = spawn(at_call, [String(recorder.pid), 'self', what, String(at), String(error)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  c.stdout.on('data', (d) => (text += d))
  const over = new Promise((done) => c.once('close', done))
  await until('at_call to follow', 5000, () => text.includes('ready') || c.exitCode !== null)
  return async () => {
    c.kill('SIGTERM')
    await over
    return { hit: /hit (\d+)/.exec(text)?.[1], counted: Number(/count (\d+)/.exec(text)?.[1] ?? 0) }
  }
}

// Does not wait in this process: the recorder's output must be read meanwhile.
const append = (prefix, first, n, ...again) => new Promise((done) => {
  const c = spawn(client, [socket(), 'append', prefix, String(first), String(n), ...again], { stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  c.stdout.on('data', (d) => (text += d))
  c.once('close', () => done([...text.matchAll(/^acked (\S+)$/gm)].map((m) => m[1])))
})

const stream = () => join(dir, 'audit/e2b-sandbox/90d')
const written = () => {
  const times = new Map()
  for (const f of existsSync(stream()) ? readdirSync(stream()).filter((x) => x.endsWith('.jsonl')) : [])
    for (const line of readFileSync(join(stream(), f), 'utf8').split('\n').filter(Boolean)) {
      const id = JSON.parse(line).request_id
      times.set(id, (times.get(id) ?? 0) + 1)
    }
  return times
}
function isWhole(where) {
  const r = spawnSync(program('firebreak'), ['audit', 'verify', '--dir', join(dir, 'audit')], { encoding: 'utf8' })
  assert.equal(r.status, 0, `${where}: ${r.stdout}${r.stderr}`)
}

async function enumerate(what, error) {
  await up()
  let letGo = await follow('count', 0, 0)
  assert.equal((await append(`dry${what}${error}`, 1, RECORDS)).length, RECORDS)
  const { counted } = await letGo()
  let hits = 0
  for (let at = 1; at <= Math.min(counted, MOST); at++) {
    const prefix = `${what}${error}-${at}`
    if (!isUp()) await up()
    letGo = await follow(what, at, error)
    const acked = await append(prefix, 1, RECORDS)
    const { hit } = await letGo()
    if (what === 'kill' && hit) await recorder.over
    hits += hit ? 1 : 0
    const where = `${what} at call ${at} (number ${hit}), acked ${acked.length}`
    if (!isUp()) await up()
    const before = written()
    for (const id of acked) assert.equal(before.get(id), 1, `${where}: ${id} was answered`)
    await until('the recorder to take them', 10000, async () => (await append(prefix, 1, RECORDS, 'again')).length === RECORDS)
    const now = written()
    for (let n = 1; n <= RECORDS; n++) assert.equal(now.get(`${prefix}-${n}`), 1, `${where}: ${prefix}-${n} sent again`)
    isWhole(where)
  }
  await stop()
  isWhole('at the end')
  console.error(`# ${what} ${error}: ${counted} calls, ${hits} hit`)
  assert.ok(hits > 10, `only ${hits} calls were hit`)
}

test('R109 the recorder killed at each system call of a record\'s way: nothing that was answered is lost or doubled', { timeout: Infinity }, () => enumerate('kill', 0))
for (const [name, error] of [['EIO', 5], ['ENOSPC', 28]])
  test(`R109 each system call fails once with ${name}: nothing that was answered is lost or doubled, and it heals`, { timeout: Infinity }, () => enumerate('fail', error))
