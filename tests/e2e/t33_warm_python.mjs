// SPDX-License-Identifier: Apache-2.0
// A program that the waiting interpreter runs cannot tell: each of these is run in it and in a fresh one, in two sandboxes, and
// everything that it sees and leaves must be the same.
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { Instance } from '../lib/instance.mjs'
import { commandLine, sandboxPids, status, until } from '../lib/host.mjs'
import { start } from '../lib/start.mjs'
import { entries, poolNumbers } from '../lib/pool.mjs'

let warm, cold
before(async () => {
  [warm, cold] = await Promise.all(['python3', 'none'].map((w) => Instance.start({ args: ['--pool-max', '3', '--warm', w] })))
  for (const i of [warm, cold]) await (await Sandbox.create(i.sdk)).kill()
})
after(() => Promise.all([warm?.end(), cold?.end()]))

const waiting = (s) => sandboxPids(s.sandboxId ?? s).find((pid) => /^exec\(__import__/.test(commandLine(pid)[2] ?? ''))
const inside = (pid) => Number(status(pid).NSpid.split(/\s+/).at(-1))

async function fresh(i, options = {}) {
  await until('a ready sandbox', 20000, async () => (await poolNumbers(i)).ready > 0 && (i === cold || (await entries(i)).every(waiting)))
  const s = await Sandbox.create({ ...i.sdk, ...options })
  return s
}

const file = '/home/user/program.py'
const c = (text, ...rest) => ({ args: ['-c', text, ...rest] })
const f = (text, ...rest) => ({ text, args: [file, ...rest] })
// What differs between any two starts (ids, times, addresses) is left out by the programs themselves.
const state = `
import sys, os, signal, resource, locale, time
print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys._base_executable, sys.prefix, sys.flags, sys.warnoptions, sys._xoptions)
print(sorted(sys.modules))
print([(k, repr(v)) for k, v in sorted(globals().items()) if k not in ('__builtins__', 'sys', 'os', 'signal', 'resource', 'locale', 'time')])
print(sys.stdin, sys.stdout, sys.stderr, [x.line_buffering for x in (sys.stdin, sys.stdout, sys.stderr)], [x.write_through for x in (sys.stdin, sys.stdout, sys.stderr)])
print(sys.stdin.seekable(), sys.stdout.seekable(), sys.stdin.isatty(), sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile())
print(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, hasattr(sys, 'last_type'), sys.dont_write_bytecode, sys.pycache_prefix)
`
const process = `
import os, signal, resource
print(os.getcwd(), os.getresuid(), os.getresgid(), os.getgroups(), os.umask(0o22), os.getppid(), os.getpid() == os.getpgrp() == os.getsid(0))
print(sorted(os.environ.items()), list(os.environ) == [k.decode() for k in os.environb], sorted(os.posix_environ.items()) if hasattr(os, 'posix_environ') else '')
fds = []
for n in range(64):
    try: fds.append((n, os.readlink('/proc/self/fd/%d' % n).split(':')[0], os.get_inheritable(n), os.get_blocking(n)))
    except OSError: pass
print(fds)
print([(n, resource.getrlimit(n)) for n in range(16)])
print([str(signal.getsignal(n)) for n in range(1, 65)], signal.pthread_sigmask(signal.SIG_BLOCK, []), os.nice(0), sorted(os.sched_getaffinity(0)))
print([l for l in open('/proc/self/status') if l.split(':')[0] in ('Name', 'Umask', 'Uid', 'Gid', 'Groups', 'SigBlk', 'SigIgn', 'SigCgt', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'Threads', 'TracerPid')])
print(open('/proc/self/oom_score_adj').read(), os.readlink('/proc/self/exe'), len(os.listdir('/proc/self/task')))
`
const programs = {
  'prints': c('print(1)'),
  'prints with arguments': c('import sys; print(sys.argv)', '-x', '--', 'ü', ''),
  'sees its state': c(state, 'a'),
  'sees its state from a file': f(state, 'a', '-b'),
  'sees its process': c(process),
  'sees its process from a file': f(process),
  'has the variables of the call': { ...c('import os; print(sorted(os.environ.items())); os.system("env | sort | grep -v ^_=")'), envs: { MINE: 'a=b', EMPTY: '', 'WITH SPACE': 'ü\n' } },
  'has posix.environ': c('import posix; print(sorted(posix.environ.items()))'),
  'has a directory': { ...c('import os; print(os.getcwd()); os.system("pwd")'), cwd: '/usr/share' },
  'is given a file by a relative name': { text: 'import sys; print(__file__, sys.argv, sys.path[0])', args: ['program.py'] },
  'is given a file by a roundabout name': { text: 'import sys; print(__file__, sys.argv, sys.path[0]); 1/0', args: ['./../user/program.py'] },
  'is given a file elsewhere': { text: 'print(__file__); raise KeyError(3)', args: ['program.py'], cwd: '/home/user' },
  'exits with a number': c('raise SystemExit(7)'),
  'exits with 256': c('import sys; sys.exit(256)'),
  'exits with text': c('import sys; sys.exit("bye ü")'),
  'exits with None': c('import sys; print(2); sys.exit()'),
  'exits with an object': c('class A:\n  def __str__(s): return "obj"\nraise SystemExit(A())'),
  'exits at once': c('import os; print("lost", end=""); os._exit(5)'),
  'raises': c('print(1)\n1/0'),
  'raises in functions': c('def f(n):\n  return f(n-1) if n else [][0]\nf(3)'),
  'raises from a file': f('import json\ndef f():\n    json.loads("{")\n\nf()\n'),
  'raises from another': c('try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise ValueError("x") from e'),
  'raises while handling': f('try:\n    1/0\nexcept ZeroDivisionError:\n    {}["k"]\n'),
  'raises a group': c('raise ExceptionGroup("g", [ValueError(1), TypeError(2)])'),
  'raises with a note': c('e = ValueError("x"); e.add_note("note"); raise e'),
  'raises an exception that cannot be printed': c('class E(Exception):\n  def __str__(s): raise ValueError\nraise E'),
  'raises in a thread': c('import threading\nt = threading.Thread(target=lambda: 1/0, name="T"); t.start(); t.join(); print("after")'),
  'is interrupted by itself': c('raise KeyboardInterrupt'),
  'is interrupted by a signal': c('import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)'),
  'ends by SIGTERM': c('import os, signal; os.kill(os.getpid(), 15)'),
  'ends by abort': c('import os; os.abort()'),
  'ends by SIGPIPE turned into an error': c('import os\nr, w = os.pipe(); os.close(r)\nos.write(w, b"x")'),
  'has a hook': c('import sys\ndef h(t, v, tb):\n  print("hook", t, v, tb.tb_lineno, tb.tb_frame.f_code.co_filename, sys.last_traceback is tb, sys.excepthook is h)\nsys.excepthook = h\n1/0'),
  'prints its own traceback': c('import traceback\ntry:\n  1/0\nexcept Exception: traceback.print_exc()'),
  'has no syntax': c('print(1'),
  'has no syntax in a file': f('x = 1\nif x\n  print(x)\n'),
  'has a tab error': f('if 1:\n        a=1\n\tb=2\n'),
  'warns at compile time': c('print(1 is 1)'),
  'warns': c('import warnings; warnings.warn("careful")'),
  'is Latin-1': f(Buffer.from('# -*- coding: latin-1 -*-\nprint(len("\xe9"), ascii("\xe9"))\n', 'latin1')),
  'has a BOM': f(Buffer.from('\ufeffprint("bom")\n')),
  'is not UTF-8': f(Buffer.from([0x70, 0x72, 0x69, 0x6e, 0x74, 0x28, 0x22, 0xff, 0x22, 0x29])),
  'holds a NUL': f(Buffer.from('print(1)\0print(2)\n')),
  'is empty': f(''),
  'is not there': { args: ['/home/user/missing.py'] },
  'is a directory': { args: ['/home/user'] },
  'may not be read': { args: ['/etc/shadow'] },
  'runs at exit': c('import atexit\natexit.register(print, "exit 1")\n@atexit.register\ndef f(): print("exit 2")\nprint("body")'),
  'has finalizers': c('class A:\n  def __init__(s, n): s.n = n\n  def __del__(s): print("del", s.n)\na = A(1); b = A(2); c = [A(3)]; c.append(c)'),
  'raises and has finalizers': c('class A:\n  def __del__(s): print("del")\na = A()\n1/0'),
  'waits for its threads': c('import threading, time\ndef f(): time.sleep(.1); print("thread")\nthreading.Thread(target=f).start(); print("main", threading.current_thread() is threading.main_thread())'),
  'forks': c('import os\nif os.fork() == 0: print("child"); os._exit(3)\nprint(os.wait()[1])'),
  'runs programs': c('import subprocess; print(subprocess.run(["sh", "-c", "echo $0; ls /proc/self/fd | wc -l; exit 4"], capture_output=True))'),
  'runs its own interpreter': c('import subprocess, sys; print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv, sys.path[0] == str())"], capture_output=True).stdout)'),
  'has multiprocessing': f('import multiprocessing as m\ndef f(x): return x * x\nif __name__ == "__main__":\n    with m.get_context("spawn").Pool(2) as p: print(p.map(f, [1, 2, 3]))\n'),
  'imports its neighbour': f('import program; print(program.__name__, program.__file__)'),
  'pickles what it defines': c('import pickle\nclass A: x = 1\nprint(pickle.loads(pickle.dumps(A)).x, A.__module__)'),
  'asks who it is': c('import inspect, sys\ndef f(): return inspect.currentframe().f_back.f_code.co_name\nprint(f(), sys.modules["__main__"].__dict__ is globals(), __builtins__)'),
  'reads its stdin': c('import sys; print(repr(sys.stdin.read()), sys.stdin.buffer.read())'),
  'asks for input': c('print(input("? "))'),
  'writes bytes and text': c('import sys; sys.stdout.buffer.write(b"\\xff\\x00"); sys.stdout.flush(); print("ü€", file=sys.stderr); sys.stdout.write("end")'),
  'writes much': c('import sys\nfor i in range(30000): print(i, "x" * 10)'),
  'closes its output': c('import sys; sys.stdout.close()'),
  'imports much': c('import json, re, socket, ssl, asyncio, sqlite3, decimal, datetime, urllib.request; print(asyncio.run(asyncio.sleep(0, 3)))'),
  'knows the time zone and the locale': c('import time, locale; print(time.tzname, locale.getlocale(), locale.setlocale(locale.LC_ALL), locale.getpreferredencoding())'),
  'has the locale of the call': { ...c('import locale, sys; print(locale.setlocale(locale.LC_ALL, ""), sys.stdout.encoding)'), envs: { LC_ALL: 'C.UTF-8' }, coldAnyway: true },
  'has options for the interpreter in the call': { ...c('import sys; print(sys.flags, sys.stdout.write_through)'), envs: { PYTHONUNBUFFERED: '1' }, coldAnyway: true },
  'has another home': { ...c('import site; print(site.getuserbase())'), envs: { HOME: '/tmp' }, coldAnyway: true },
  'is given an option': { args: ['-I', '-c', 'import sys; print(sys.flags)'], coldAnyway: true },
  'is a module': { args: ['-m', 'this'], coldAnyway: true },
  'is root': { ...c(process), user: 'root', coldAnyway: true },
  'is the version': { args: ['--version'], coldAnyway: true },
  'reads from its stdin': { args: ['-'], coldAnyway: true },
}
const refuses = /^(has no syntax|has a tab|is not UTF|holds a NUL|is not there|is a directory|may not be read)/ // the fresh one says it in its own words

async function run(i, name, p) {
  const s = await fresh(i)
  try {
    if (p.text !== undefined) await s.files.write(file, Buffer.isBuffer(p.text) ? new Uint8Array(p.text).buffer : p.text)
    const pid = i === warm ? inside(await until('an interpreter that waits', 10000, () => waiting(s))) : 0
    const r = await start(i, s, { cmd: 'python3', args: p.args, ...(p.envs && { envs: p.envs }), ...(p.cwd && { cwd: p.cwd }) }, { user: p.user })
    return { pid, id: s.sandboxId, r }
  } finally {
    await s.kill()
  }
}

// Ids and numbers of the sandbox and its processes are their own; addresses are random.
const plain = (x, id) => x.toString('latin1').replaceAll(id, 'ID').replace(/0x[0-9a-f]{6,}/g, '0xADDRESS')

for (const [name, p] of Object.entries(programs))
  claim(`a program that ${name}`, async () => {
    const [a, b] = await Promise.all([run(warm, name, p), run(cold, name, p)])
    assert.deepEqual({ out: plain(a.r.stdout, a.id), err: plain(a.r.stderr, a.id), end: a.r.end, error: a.r.error },
      { out: plain(b.r.stdout, b.id), err: plain(b.r.stderr, b.id), end: b.r.end, error: b.r.error })
    if (p.coldAnyway || refuses.test(name)) assert.notEqual(a.r.pid, a.pid, 'it ran in the interpreter that waited')
    else assert.equal(a.r.pid, a.pid, 'it did not run in the interpreter that waited')
  })

claim('after a program that installs something for the next start, the next start has it', async () => {
  const s = await fresh(warm)
  await until('one that waits', 10000, () => waiting(s))
  const dir = '/home/user/.local/lib/python3.11/site-packages'
  await start(warm, s, { cmd: 'python3', args: ['-c', `import os; os.makedirs("${dir}"); open("${dir}/mine.pth", "w").write("import sys; sys.mark = 1\\n")`] })
  for (let n = 0; n < 2; n++) {
    assert.equal(String((await start(warm, s, { cmd: 'python3', args: ['-c', 'import sys; print(sys.mark)'] })).stdout), '1\n')
    await until('another that waits', 10000, () => waiting(s)) // which has seen the file
  }
  await s.files.write(`${dir}/mine.pth`, 'import sys; sys.mark = 2\n')
  assert.equal(String((await start(warm, s, { cmd: 'python3', args: ['-c', 'import sys; print(sys.mark)'] })).stdout), '2\n')
  await s.kill()
})

claim('none waits while anything else runs, and the others do not see it', async () => {
  const s = await fresh(warm)
  await until('one that waits', 10000, () => waiting(s))
  const r = await s.commands.run('ps -eo comm= | sort | uniq -c; sleep 2.5; setsid sleep 300 >/dev/null 2>&1 &')
  assert.ok(!/python/.test(r.stdout), r.stdout)
  await new Promise((done) => setTimeout(done, 2500))
  assert.equal(waiting(s), undefined)
  assert.equal(String((await start(warm, s, { cmd: 'python3', args: ['-c', 'print(3)'] })).stdout), '3\n')
  await s.kill()
})

claim('each has a hash seed and an address space of its own', async () => {
  const seen = new Set()
  for (let n = 0; n < 4; n++) {
    const s = await fresh(warm)
    await until('one that waits', 10000, () => waiting(s))
    seen.add(String((await start(warm, s, { cmd: 'python3', args: ['-c', 'import random; print(hash("x"), id(object()), random.random())'] })).stdout))
    await s.kill()
  }
  for (let at = 0; at < 3; at++) assert.equal(new Set([...seen].map((l) => l.split(' ')[at])).size, 4)
})

claim('it can be killed, its deadline holds, and a sandbox with one that waits ends like any other', async () => {
  const s = await fresh(warm)
  await until('one that waits', 10000, () => waiting(s))
  const running = start(warm, s, { cmd: 'python3', args: ['-c', 'import time; print("on", flush=True); time.sleep(60)'] })
  const [p] = await until('it to be listed', 10000, async () => (await s.commands.list()).length && s.commands.list())
  assert.equal(p.cmd, 'python3')
  assert.equal(await s.commands.kill(p.pid), true)
  assert.equal((await running).end.status, 'signal: killed')
  await until('another that waits', 10000, () => waiting(s))
  await s.kill()
  assert.deepEqual(sandboxPids(s.sandboxId), [])
})
