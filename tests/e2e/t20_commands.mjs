// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, e2b, Sandbox } from '../lib/sdk.mjs'
import { until } from '../lib/host.mjs'

let s
before(async () => {
  s = await Sandbox.create({ envs: { OF_THE_SANDBOX: 'yes', BOTH: 'sandbox' }, timeoutMs: 300_000 })
})
after(() => s?.kill())

const fails = async (cmd, opts) => {
  try {
    await s.commands.run(cmd, opts)
  } catch (e) {
    return e
  }
  assert.fail(`${cmd} succeeded`)
}

claim('run gives stdout, stderr and exit code 0', async () => {
  const r = await s.commands.run('echo out; echo err >&2')
  assert.equal(r.stdout, 'out\n')
  assert.equal(r.stderr, 'err\n')
  assert.equal(r.exitCode, 0)
})

claim('run gives the exit code of a failing command with its output', async () => {
  const e = await fails('echo before; echo why >&2; exit 42')
  assert.ok(e instanceof e2b.CommandExitError, String(e))
  assert.equal(e.exitCode, 42)
  assert.equal(e.stdout, 'before\n')
  assert.equal(e.stderr, 'why\n')
})

claim('output is streamed while the command runs', async () => {
  const at = []
  const began = performance.now()
  await s.commands.run('echo first; sleep 1; echo second', { onStdout: (d) => at.push([d, performance.now() - began]) })
  assert.deepEqual(at.map((x) => x[0]).join(''), 'first\nsecond\n')
  assert.ok(at.at(-1)[1] - at[0][1] > 700, 'the first line came only with the second')
})

claim('stderr is streamed apart from stdout', async () => {
  let out = ''
  let err = ''
  await s.commands.run('for i in 1 2 3; do echo o$i; echo e$i >&2; done', { onStdout: (d) => (out += d), onStderr: (d) => (err += d) })
  assert.equal(out, 'o1\no2\no3\n')
  assert.equal(err, 'e1\ne2\ne3\n')
})

claim('8 MiB of output arrive complete and in order', async () => {
  const r = await s.commands.run('seq 1 1200000')
  const lines = r.stdout.split('\n')
  assert.equal(lines.length, 1200001)
  assert.equal(lines[999999], '1000000')
  assert.equal(lines[1199999], '1200000')
})

claim('text that is cut inside a character arrives whole', async () => {
  const r = await s.commands.run(`python3 -c "import sys,time
for b in 'grüße 🔥 日本'.encode(): sys.stdout.buffer.write(bytes([b])); sys.stdout.flush()"`)
  assert.equal(r.stdout, 'grüße 🔥 日本')
})

claim('a background command runs on, is listed, and can be killed', async () => {
  const h = await s.commands.run('echo started; sleep 300', { background: true })
  await until('its first line', 10000, () => h.stdout === 'started\n')
  const listed = await s.commands.list()
  assert.ok(listed.some((p) => p.pid === h.pid), JSON.stringify(listed))
  await s.commands.run(`kill -0 ${h.pid}`, { user: 'root' })
  assert.equal(await h.kill(), true)
  await assert.rejects(h.wait(), (e) => e instanceof e2b.CommandExitError && /killed/.test(e.error ?? e.message))
  await until('it to leave the list', 5000, async () => !(await s.commands.list()).some((p) => p.pid === h.pid))
  assert.equal(await s.commands.kill(h.pid), false)
})

claim('connect to a running command gives its further output and its end', async () => {
  const h = await s.commands.run('for i in $(seq 1 200); do echo tick $i; sleep 0.02; done; exit 3', { background: true })
  await h.disconnect()
  let seen = ''
  const again = await s.commands.connect(h.pid, { onStdout: (d) => (seen += d) })
  assert.equal(again.pid, h.pid)
  await assert.rejects(again.wait(), (e) => e.exitCode === 3)
  assert.match(seen, /tick 200\n/)
})

claim('a command survives the client that started it', async () => {
  const h = await s.commands.run('sleep 0.5; echo survived > /tmp/survived', { background: true })
  await h.disconnect()
  await until('its file', 10000, () => s.files.exists('/tmp/survived'))
})

claim('stdin reaches the command, and closing it is its end of file', async () => {
  const h = await s.commands.run('cat; echo done', { background: true, stdin: true })
  await h.sendStdin('one\n')
  await h.sendStdin('two ünd 🔥\n')
  await until('the echo', 10000, () => h.stdout === 'one\ntwo ünd 🔥\n')
  await h.closeStdin()
  const r = await h.wait()
  assert.equal(r.stdout, 'one\ntwo ünd 🔥\ndone\n')
})

claim('without stdin a command reads end of file at once', async () => {
  assert.equal((await s.commands.run('cat; echo done')).stdout, 'done\n')
})

claim('envs of the sandbox and of the call reach the command, and the call wins', async () => {
  const r = await s.commands.run('echo "$OF_THE_SANDBOX $OF_THE_CALL $BOTH"', { envs: { OF_THE_CALL: 'a b$c', BOTH: 'call' } })
  assert.equal(r.stdout, 'yes a b$c call\n')
  assert.equal((await s.commands.run('echo "[$OF_THE_CALL] $BOTH"')).stdout, '[] sandbox\n')
})

claim('a command knows its sandbox', async () => {
  const r = await s.commands.run('echo $E2B_SANDBOX $E2B_SANDBOX_ID $HOME $USER $LOGNAME; pwd; cat /run/e2b/.E2B_SANDBOX_ID')
  assert.equal(r.stdout.trim(), `true ${s.sandboxId} /home/user user user\n/home/user\n${s.sandboxId}`)
})

claim('cwd is where the command runs, and a missing one is named', async () => {
  assert.equal((await s.commands.run('pwd', { cwd: '/usr/lib' })).stdout, '/usr/lib\n')
  const e = await fails('pwd', { cwd: '/no/such/place' })
  assert.ok(e instanceof e2b.InvalidArgumentError, `${e.constructor.name}: ${e.message}`)
  assert.match(e.message, /cwd '\/no\/such\/place' does not exist/)
})

claim('the default user is user, and root is root inside', async () => {
  assert.equal((await s.commands.run('id -un; id -u')).stdout, 'user\n1000\n')
  assert.equal((await s.commands.run('id -un; id -u; cd; pwd', { user: 'root' })).stdout, 'root\n0\n/root\n')
  assert.equal((await s.commands.run('id -un', { user: 'user' })).stdout, 'user\n')
  await s.commands.run('echo x > /etc/firebreak-test && chown user /etc/firebreak-test && rm /etc/firebreak-test', { user: 'root' })
})

claim('user may not write where only root may', async () => {
  const e = await fails('echo x > /etc/firebreak-test')
  assert.match(e.stderr, /Permission denied/)
})

claim('an unknown user is named', async () => {
  const e = await fails('id', { user: 'nobody-like-this' })
  assert.match(e.message, /invalid username: 'nobody-like-this'/)
})

claim('sudo works for user: exit code, output, stdin, -u, and no password', async () => {
  assert.equal((await s.commands.run('sudo id -u')).stdout, '0\n')
  assert.equal((await s.commands.run('echo piped | sudo cat')).stdout, 'piped\n')
  assert.equal((await s.commands.run('sudo -u root id -un')).stdout, 'root\n')
  assert.equal((await s.commands.run("sudo sh -c 'touch /root/made && ls /root/made'")).stdout, '/root/made\n')
  const e = await fails("sudo sh -c 'echo bad >&2; exit 7'")
  assert.equal(e.exitCode, 7)
  assert.equal(e.stderr, 'bad\n')
})

claim('python, node, git, curl and the core tools are there', async () => {
  assert.equal((await s.commands.run('python3 -c "print(6*7)"')).stdout, '42\n')
  assert.equal((await s.commands.run('node -e "console.log(6*7)"')).stdout, '42\n')
  await s.commands.run('git --version && curl --version && tar --version && test -s /etc/ssl/certs/ca-certificates.crt')
  await s.commands.run('cd /tmp && git init -q repo && cd repo && git config user.email a@b && git config user.name a && git commit -q --allow-empty -m x && git log --oneline')
})

claim('shared memory, multiprocessing, threads and inotify work', async () => {
  assert.equal((await s.commands.run(`python3 -c "
from multiprocessing import Pool
print(sum(Pool(2).map(abs, range(-10, 0))))"`)).stdout, '55\n')
  assert.equal((await s.commands.run(`python3 -c "
import threading
t = [threading.Thread(target=lambda: None) for _ in range(50)]
[x.start() for x in t]; [x.join() for x in t]; print('ok')"`)).stdout, 'ok\n')
})

claim('a timeout of the call ends the command', async () => {
  const e = await fails('sleep 30', { timeoutMs: 800 })
  assert.ok(e instanceof e2b.TimeoutError, `${e.constructor.name}: ${e.message}`)
  await until('sleep to be gone', 5000, async () => (await s.commands.run('pgrep -cx sleep || true')).stdout.trim() === '0')
})

claim('a command killed by a signal says so', async () => {
  const e = await fails('kill -TERM $$; sleep 5')
  assert.equal(e.exitCode, -1)
  assert.match(e.error ?? '', /signal: terminated/)
})

claim('a daemon that keeps the pipes does not hold up a kill', async () => {
  const h = await s.commands.run('setsid sleep 60 & sleep 60', { background: true })
  await h.kill()
  await assert.rejects(h.wait(), e2b.CommandExitError)
  await s.commands.run('pkill sleep || true', { user: 'root' })
})

claim('twenty commands at once each get their own answer', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => s.commands.run(`sleep 0.1; echo answer ${i}`)))
  all.forEach((r, i) => assert.equal(r.stdout, `answer ${i}\n`))
})
