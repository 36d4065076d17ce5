// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, after } from 'node:test'
import { createHash, randomBytes } from 'node:crypto'
import { claim, e2b, Sandbox, http, into, tokenOf } from '../lib/sdk.mjs'

let s
before(async () => {
  s = await Sandbox.create({ timeoutMs: 300_000 })
})
after(() => s?.kill())
const hash = (b) => createHash('sha256').update(b).digest('hex')

for (const [label, size] of [['an empty file', 0], ['1 byte', 1], ['1 MiB', 1 << 20], ['64 MiB', 64 << 20]])
  claim(`${label} is read as it was written`, async () => {
    const data = randomBytes(size)
    const info = await s.files.write(`/home/user/of-${size}`, data.buffer.slice(data.byteOffset, data.byteOffset + size))
    assert.equal(info.path, `/home/user/of-${size}`)
    assert.equal(info.name, `of-${size}`)
    const back = await s.files.read(`/home/user/of-${size}`, { format: 'bytes' })
    assert.equal(back.length, size)
    assert.equal(hash(back), hash(data))
    await s.files.remove(`/home/user/of-${size}`)
  })

claim('raw uploads arrive as multipart ones do', async () => {
  const data = randomBytes(3 << 20)
  await s.files.write('/home/user/raw', data.buffer.slice(data.byteOffset, data.byteOffset + data.length), { useOctetStream: true })
  assert.equal(hash(await s.files.read('/home/user/raw', { format: 'bytes' })), hash(data))
})

claim('text is text, and a relative path is below the home of the user', async () => {
  await s.files.write('hello.txt', 'grüße 🔥\n')
  assert.equal(await s.files.read('hello.txt'), 'grüße 🔥\n')
  assert.equal((await s.commands.run('cat /home/user/hello.txt; stat -c %U:%G:%a /home/user/hello.txt')).stdout, 'grüße 🔥\nuser:user:644\n')
  await s.files.write('hello.txt', 'of root', { user: 'root' })
  assert.equal((await s.commands.run('cat /root/hello.txt; stat -c %U /root/hello.txt', { user: 'root' })).stdout, 'of rootroot\n')
})

claim('write makes missing directories and replaces what was there', async () => {
  await s.files.write('/home/user/a/b/c.txt', 'long content')
  await s.files.write('/home/user/a/b/c.txt', 'new')
  assert.equal(await s.files.read('/home/user/a/b/c.txt'), 'new')
  assert.equal((await s.commands.run('stat -c %U:%a /home/user/a/b')).stdout, 'user:755\n')
})

claim('many files go in one call', async () => {
  const files = Array.from({ length: 40 }, (_, i) => ({ path: `/home/user/many/${i}.txt`, data: `content ${i}` }))
  const infos = await s.files.write(files)
  assert.equal(infos.length, 40)
  assert.equal((await s.commands.run('cat /home/user/many/*.txt | wc -c')).stdout.trim(), String(files.reduce((n, f) => n + f.data.length, 0)))
})

claim('list shows names, types, sizes, modes, owners and links', async () => {
  await s.commands.run('mkdir -p /home/user/ls/sub && cd /home/user/ls && printf 12345 > five && chmod 640 five && ln -s five link && ln -s nowhere broken && touch sub/deep')
  const byName = Object.fromEntries((await s.files.list('/home/user/ls')).map((e) => [e.name, e]))
  assert.deepEqual(Object.keys(byName).filter((n) => n !== 'broken').sort(), ['five', 'link', 'sub'])
  assert.equal(byName.five.type, 'file')
  assert.equal(byName.five.size, 5)
  assert.equal(byName.five.mode, 0o640)
  assert.equal(byName.five.permissions, '-rw-r-----')
  assert.equal(byName.five.owner, 'user')
  assert.equal(byName.five.group, 'user')
  assert.equal(byName.five.path, '/home/user/ls/five')
  assert.ok(Math.abs(byName.five.modifiedTime - Date.now()) < 60000)
  assert.equal(byName.sub.type, 'dir')
  assert.equal(byName.link.symlinkTarget, '/home/user/ls/five')
  const deep = (await s.files.list('/home/user/ls', { depth: 2 })).map((e) => e.path)
  assert.ok(deep.includes('/home/user/ls/sub/deep'), deep.join())
})

claim('exists, makeDir, rename and remove do what they say', async () => {
  assert.equal(await s.files.exists('/home/user/box'), false)
  assert.equal(await s.files.makeDir('/home/user/box/inner'), true)
  assert.equal(await s.files.makeDir('/home/user/box/inner'), false)
  assert.equal(await s.files.exists('/home/user/box/inner'), true)
  await s.files.write('/home/user/box/inner/f', 'x')
  const moved = await s.files.rename('/home/user/box/inner/f', '/home/user/box/g')
  assert.equal(moved.name, 'g')
  assert.equal(moved.path, '/home/user/box/g')
  assert.equal(await s.files.exists('/home/user/box/inner/f'), false)
  assert.equal(await s.files.read('/home/user/box/g'), 'x')
  await s.files.remove('/home/user/box')
  assert.equal(await s.files.exists('/home/user/box'), false)
  await s.files.remove('/home/user/box')
})

claim('getInfo of a file, a directory and a missing one', async () => {
  await s.files.write('/home/user/info', 'abc')
  const i = await s.files.getInfo('/home/user/info')
  assert.equal(i.size, 3)
  assert.equal(i.type, 'file')
  assert.equal((await s.files.getInfo('/home/user')).type, 'dir')
  await assert.rejects(s.files.getInfo('/home/user/absent'), e2b.NotFoundError)
})

claim('names in every script, with spaces, quotes and line breaks are kept', async () => {
  for (const name of ['日本語.txt', 'grüße & co.txt', 'sp ace "quoted" \'single\'.txt', 'emoji 🔥🚒', '-rf', 'percent%20 +plus', 'semi;colon,comma', 'new\nline', '#hash?query']) {
    const path = `/home/user/names/${name}`
    await s.files.write(path, name, { useOctetStream: true })
    assert.equal(await s.files.read(path), name)
    const names = (await s.files.list('/home/user/names')).map((e) => e.name)
    assert.ok(names.includes(name), `${JSON.stringify(name)} in ${JSON.stringify(names)}`)
    await s.files.remove(path)
    assert.equal(await s.files.exists(path), false)
  }
})

claim('multipart uploads keep the same names', async () => {
  for (const name of ['日本語.txt', 'with "quotes".txt', 'percent%22.txt']) {
    await s.files.write(`/home/user/names/${name}`, name)
    assert.equal(await s.files.read(`/home/user/names/${name}`), name)
  }
})

claim('a name of 255 bytes works and one of 256 is refused', async () => {
  await s.files.write(`/home/user/${'n'.repeat(255)}`, 'x')
  await assert.rejects(s.files.write(`/home/user/${'n'.repeat(256)}`, 'x'))
})

claim('reading a missing file and a directory are different errors', async () => {
  await assert.rejects(s.files.read('/home/user/absent'), (e) => e instanceof e2b.NotFoundError && /does not exist/.test(e.message))
  await assert.rejects(s.files.read('/home/user'), (e) => !(e instanceof e2b.NotFoundError) && /is a directory/.test(e.message))
  await assert.rejects(s.files.list('/home/user/absent'), e2b.NotFoundError)
})

claim('an executable script that was uploaded runs', async () => {
  await s.files.write('/home/user/script.sh', '#!/bin/sh\necho "ran with $1"\n')
  assert.equal((await s.commands.run('chmod +x script.sh && ./script.sh this')).stdout, 'ran with this\n')
})

claim('a file that is not written through envd is read, also from /proc', async () => {
  assert.match(await s.files.read('/proc/self/status'), /^Name:/)
  assert.match(await s.files.read('/etc/os-release'), /debian/i)
})

claim('reading as a stream gives the same bytes', async () => {
  const data = randomBytes(5 << 20)
  await s.files.write('/home/user/stream', data.buffer.slice(data.byteOffset, data.byteOffset + data.length))
  const h = createHash('sha256')
  for await (const chunk of await s.files.read('/home/user/stream', { format: 'stream' })) h.update(chunk)
  assert.equal(h.digest('hex'), hash(data))
})

claim('without the access token no file is served, and no other token opens it', async () => {
  await s.files.write('/home/user/secret', 'secret')
  const at = (headers) => http('GET', '/files?path=/home/user/secret&username=user', { headers: into(s, 49983, headers) })
  assert.equal((await at({ 'X-Access-Token': tokenOf(s) })).status, 200)
  const none = await at({})
  assert.equal(none.status, 401)
  assert.deepEqual(none.json, { code: 401, message: 'missing signature query parameter' })
  const wrong = await at({ 'X-Access-Token': 'x'.repeat(64) })
  assert.equal(wrong.status, 401)
  assert.deepEqual(wrong.json, { code: 401, message: 'access token present in header but does not match' })
})
