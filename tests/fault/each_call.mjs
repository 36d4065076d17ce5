// SPDX-License-Identifier: Apache-2.0
// Creating and killing a sandbox, with the daemon killed at each system call of the way, by enumeration: warden, e2b-sandbox, and what the
// warden clones (monitor and init). Then the same with each call failing once. After each: what died is started again, the invariants
// hold, and the id is either absent or usable, with nothing half-done left. FAULT_EVERY=1 takes every call; else FAULT_SAMPLE (12) of
// each way, chosen by FAULT_SEED. FAULT_PATHS=kill:warden:self:create,fail:warden:self:create,...
// chooses ways, FAULT_ERRORS=ENOMEM,... errors.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { after, before, test } from 'node:test'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { build, Instance } from '../lib/instance.mjs'
import { until } from '../lib/host.mjs'
import { check, request, shell } from './client.mjs'

const EVERY = process.env.FAULT_EVERY === '1'
const SAMPLE = Number(process.env.FAULT_SAMPLE ?? 12)
const SEED = Number(process.env.FAULT_SEED ?? randomInt(1, 2 ** 31))
const PATHS = process.env.FAULT_PATHS?.split(',')
const ERRORS = Object.fromEntries(Object.entries({ ENOMEM: 12, EMFILE: 24, ENOSPC: 28 }).filter(([name]) => !process.env.FAULT_ERRORS || process.env.FAULT_ERRORS.split(',').includes(name)))

let x = SEED
const random = (n) => {
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  return (x >>> 0) % n
}

const header = ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'].find(existsSync)
const names = Object.fromEntries([...(header ? readFileSync(header, 'utf8') : '').matchAll(/__NR_(\w+) (\d+)/g)].map((m) => [m[2], m[1]]))

let i
before(async () => {
  i = await Instance.start()
  console.error(`# seed ${SEED}`)
})
after(() => i?.end())

// Follows a daemon; {hit: 'NAME of PROGRAM' or undefined, counted}. `end` lets go of it.
async function follow(daemon, whose, what, at = 0, error = 0) {
  const c = spawn(join(build, 'tests/fault/at_call'), [String(i.daemon(daemon)), whose, what, String(at), String(error)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  c.stdout.on('data', (d) => (text += d))
  const over = new Promise((done) => c.once('close', done))
  await until('at_call to follow', 5000, () => text.includes('ready') || c.exitCode !== null)
  assert.match(text, /ready/)
  return {
    async end() {
      c.kill('SIGTERM')
      await over
      const hit = /hit (\d+) (.*)/.exec(text)
      return { hit: hit && `${names[hit[1]] ?? hit[1]} of ${hit[2]}`, counted: Number(/count (\d+)/.exec(text)?.[1] ?? 0) }
    },
  }
}

const create = (timeout = 20000) => request(i, 'POST', '/sandboxes', { json: { templateID: 'base', timeout: 600 }, timeout }).catch((e) => ({ status: 0, text: e.message }))
const remove = (id, timeout = 20000) => request(i, 'DELETE', `/sandboxes/${id}`, { timeout }).catch((e) => ({ status: 0, text: e.message }))
const list = () => request(i, 'GET', '/sandboxes', { timeout: 5000 })

async function serves() {
  await until('the daemons to serve', 30000, async () => {
    const r = await list().catch(() => null)
    return r?.status === 200 && i.daemon('warden') && r
  })
  // The API lists without the warden, too; a create tells that both are there.
  await until('a sandbox to be made', 30000, async () => {
    const r = await create(5000)
    return r.status === 201 && (await remove(r.json.sandboxID, 5000)).status === 204
  })
}

// Everything that is listed can be used and ended; then there is nothing.
async function isWholeOrGone(id, mustBeGone) {
  await serves()
  check(i, '--settle-ms', '5000')
  const listed = (await list()).json.map((r) => r.sandboxID)
  if (mustBeGone) assert.deepEqual(listed, [])
  for (const one of listed) {
    const token = (await request(i, 'POST', `/sandboxes/${one}/connect`, { json: { timeout: 600 } })).json?.envdAccessToken
    assert.equal((await shell(i, { id: one, token }, 'echo usable')).out, 'usable\n', `${one} is listed and cannot be used`)
    assert.equal((await remove(one)).status, 204)
  }
  if (id && !listed.includes(id)) assert.equal((await request(i, 'GET', `/sandboxes/${id}`)).status, 404)
  assert.deepEqual((await list()).json, [])
  check(i, '--settle-ms', '5000')
  assert.deepEqual(readdirSync(join(i.run, 'sb')).filter((f) => f !== 'warden.lock' && f !== '.new'), [])
}

// One way, followed: what the client was answered.
async function walk(way, daemon, whose, what, at, error) {
  const before = way === 'kill' ? await create() : undefined
  if (before) assert.equal(before.status, 201, before.text)
  const f = await follow(daemon, whose, what, at, error)
  const answer = way === 'kill' ? await remove(before.json.sandboxID) : await create()
  const id = before?.json.sandboxID ?? answer.json?.sandboxID
  return { answer, id, ...(await f.end()) }
}

const pick = (total) => {
  if (EVERY || total <= SAMPLE) return Array.from({ length: total }, (_, k) => k + 1)
  return [...new Set(Array.from({ length: SAMPLE }, () => 1 + random(total)))].sort((a, b) => a - b)
}

async function enumerate(way, daemon, whose, what, errors, judge) {
  await serves()
  const dry = await walk(way, daemon, whose, 'count')
  assert.ok([201, 204].includes(dry.answer.status), dry.answer.text)
  await isWholeOrGone(dry.id)
  const chosen = pick(dry.counted)
  const struck = {}
  let hits = 0
  for (const at of chosen)
    for (const error of errors) {
      const r = await walk(way, daemon, whose, what, at, error)
      const where = `${what} ${error || ''} at call ${at} (${r.hit ?? 'not reached'}), answered ${r.answer.status} ${r.answer.text?.slice(0, 160)}`
      if (r.hit) {
        hits++
        struck[r.hit] = (struck[r.hit] ?? 0) + 1
      }
      try {
        await judge(r)
        await isWholeOrGone(r.id, what === 'kill' ? false : r.answer.status !== 201 && way === 'create')
      } catch (e) {
        console.error(i.logText().slice(-3000).replace(/^/gm, '# up: '))
        e.message = `${where}: ${e.message}`
        throw e
      }
    }
  console.error(`# ${what} ${daemon} ${whose} ${way}: ${dry.counted} calls, ${chosen.length * errors.length} tries, ${hits} hits at ${Object.keys(struck).length} kinds of call`)
  assert.ok(hits > 0, 'no call was hit')
}

const wanted = (name) => !PATHS || PATHS.includes(name)
for (const [daemon, whose] of [['warden', 'self'], ['warden', 'children'], ['e2b-sandbox', 'self']])
  for (const way of ['create', 'kill']) {
    if (daemon === 'warden' && whose === 'children' && way === 'kill') continue // nothing is cloned then
    const who = whose === 'children' ? 'monitor and init' : daemon
    if (wanted(`kill:${daemon}:${whose}:${way}`))
      test(`${who} killed at ${EVERY ? 'each' : 'some'} system call of ${way}: the id is absent or usable, nothing is half-done`, { timeout: Infinity }, () =>
        enumerate(way, daemon, whose, 'kill', [0], (r) => {
          // A monitor that dies fails its own create only, and the answer says so.
          if (whose === 'children' && r.hit && r.answer.status !== 201) assert.match(r.answer.text, /could not start the sandbox: [a-z ]+/)
        }))
  }
for (const [daemon, whose] of [['warden', 'self'], ['warden', 'children']])
  if (wanted(`fail:${daemon}:${whose}:create`))
    test(`${whose === 'children' ? 'monitor and init' : daemon}: ${EVERY ? 'each' : 'some'} system call of create fails: the answer names the step, or it did not matter; nothing is left`, { timeout: Infinity }, () =>
      enumerate('create', daemon, whose, 'fail', EVERY ? Object.values(ERRORS) : [Object.values(ERRORS)[random(Object.keys(ERRORS).length)]], (r) => {
        if (r.answer.status === 201) return
        // A warden that could not hear or answer lets go of that connection; the API says so, and comes again.
        if (r.answer.status === 503 && /(recv|send)msg of warden/.test(r.hit)) return
        assert.equal(r.answer.status, 500, r.answer.text)
        assert.match(r.answer.text, /could not start the sandbox: [^:]+: /)
      }))
