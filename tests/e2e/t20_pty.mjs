// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

let s
before(async () => {
  s = await Sandbox.create({ timeoutMs: 300_000 })
})
after(() => s?.kill())

const bytes = (text) => new TextEncoder().encode(text)
async function terminal(options = {}) {
  const decoder = new TextDecoder()
  const t = { text: '' }
  t.handle = await s.pty.create({ cols: 80, rows: 24, timeoutMs: 60_000, onData: (d) => { t.text += decoder.decode(d, { stream: true }) }, ...options })
  t.type = (line) => s.pty.sendInput(t.handle.pid, bytes(line))
  t.shows = (pattern) => until(`${pattern} in ${JSON.stringify(t.text)}`, 10000, () => pattern.test(t.text))
  return t
}

claim('a terminal runs an interactive shell of the size asked for', async () => {
  const t = await terminal({ cols: 97, rows: 31 })
  await t.type('tty; stty size; echo user=$(id -un) term=$TERM\n')
  await t.shows(/\/dev\/pts\/\d+/)
  await t.shows(/31 97/)
  await t.shows(/user=user term=xterm-256color/)
  await t.type('exit 5\n')
  await assert.rejects(t.handle.wait(), (e) => e.exitCode === 5)
})

claim('resize reaches the program', async () => {
  const t = await terminal()
  await s.pty.resize(t.handle.pid, { cols: 120, rows: 50 })
  await t.type('stty size\n')
  await t.shows(/50 120/)
  await t.handle.kill()
})

claim('Ctrl-C interrupts, Ctrl-D ends', async () => {
  const t = await terminal()
  await t.type('echo wai""ting; sleep 100\n')
  await t.shows(/waiting/)
  await t.type('\x03')
  await t.type('echo rc=$?\n')
  await t.shows(/rc=130/)
  await t.type('\x04')
  await t.handle.wait().catch(() => {})
})

claim('kill ends the terminal, and only once', async () => {
  const t = await terminal()
  assert.equal(await s.pty.kill(t.handle.pid), true)
  await assert.rejects(t.handle.wait())
  await until('the pid to be unknown', 5000, async () => (await s.pty.kill(t.handle.pid)) === false)
})

claim('a second client can look at the same terminal', async () => {
  const t = await terminal()
  let seen = ''
  const second = await s.pty.connect(t.handle.pid, { onData: (d) => { seen += new TextDecoder().decode(d) } })
  await t.type('echo for bo""th\n')
  await t.shows(/for both/)
  await until('the second to see it', 5000, () => /for both/.test(seen))
  await second.disconnect()
  await t.handle.kill()
})

claim('user, cwd and envs are those of the call', async () => {
  const t = await terminal({ user: 'root', cwd: '/usr', envs: { MARK: 'set', TERM: 'dumb' } })
  await t.type('echo $(id -un) $PWD $MARK $TERM\n')
  await t.shows(/root \/usr set dumb/)
  await t.handle.kill()
})
