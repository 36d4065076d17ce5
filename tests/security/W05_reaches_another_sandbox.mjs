// SPDX-License-Identifier: Apache-2.0
// Attack: talk to another sandbox: by its loopback interface, by names without a path, by shared memory, queues and semaphores.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'

claim('a listener, a socket, a segment and a file of one are nowhere in the other', async (t) => {
  const [a, b] = await Promise.all([Sandbox.create({ timeoutMs: 60_000 }), Sandbox.create({ timeoutMs: 60_000 })])
  t.after(() => Promise.all([a.kill(), b.kill()]))
  await a.files.write('/tmp/hold.py', `
import ctypes, os, socket, time
l = socket.socket(); l.bind(('0.0.0.0', 7777)); l.listen()
u = socket.socket(socket.AF_UNIX); u.bind(b'\\0whisper'); u.listen()
f = socket.socket(socket.AF_UNIX); f.bind('/tmp/whisper.sock'); f.listen()
open('/dev/shm/whisper', 'w').write('message')
libc = ctypes.CDLL(None)
libc.shmget(4242, 4096, 0o1666); libc.msgget(4242, 0o1666); libc.semget(4242, 1, 0o1666)
time.sleep(50)
`)
  const look = `
import ctypes, os, socket
def tried(name, f):
    try: f(); print(name, 'got through')
    except OSError as e: print(name, e.errno)
def sysv(call, *rest):
    r = call(4242, *rest)
    if r < 0: raise OSError(ctypes.get_errno(), '')
libc = ctypes.CDLL(None, use_errno=True)
def connect(family, to):
    s = socket.socket(family); s.settimeout(3); s.connect(to)
tried('loopback', lambda: connect(socket.AF_INET, ('127.0.0.1', 7777)))
tried('own-address', lambda: connect(socket.AF_INET, ('127.0.0.2', 7777)))
tried('v6', lambda: connect(socket.AF_INET6, ('::1', 7777)))
tried('abstract', lambda: connect(socket.AF_UNIX, b'\\0whisper'))
tried('path', lambda: connect(socket.AF_UNIX, '/tmp/whisper.sock'))
tried('shm-file', lambda: open('/dev/shm/whisper').read())
tried('segment', lambda: sysv(libc.shmget, 4096, 0))
tried('queue', lambda: sysv(libc.msgget, 0))
tried('semaphore', lambda: sysv(libc.semget, 1, 0))
`
  await a.commands.run('python3 /tmp/hold.py', { background: true })
  await Promise.all([a, b].map((s) => s.files.write('/tmp/look.py', look)))
  await a.commands.run('for i in $(seq 50); do [ -e /dev/shm/whisper ] && exit 0; sleep 0.1; done; exit 1')
  const own = (await a.commands.run('sleep 0.2; python3 /tmp/look.py')).stdout
  for (const way of ['loopback', 'own-address', 'abstract', 'path', 'shm-file', 'segment', 'queue', 'semaphore']) assert.match(own, new RegExp(`^${way} got through$`, 'm'), `the control: ${own}`)
  const others = (await b.commands.run('python3 /tmp/look.py')).stdout
  assert.equal(others, 'loopback 111\nown-address 111\nv6 111\nabstract 111\npath 2\nshm-file 2\nsegment 2\nqueue 2\nsemaphore 2\n') // ECONNREFUSED, ENOENT
  for (const s of [a, b]) assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
