// SPDX-License-Identifier: Apache-2.0
// process.Process/Start as it is on the wire: a program without a shell around it.
import { http, into } from './sdk.mjs'

const envelope = (value) => {
  const body = Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

// {pid, stdout, stderr, end: {exited, exitCode, status}, error}; outputs as Buffers.
export async function start(i, sandbox, process, { user, stdin = false } = {}) {
  const headers = into(sandbox, 49983, { 'X-Access-Token': sandbox.envdAccessToken, 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1' })
  if (user) headers.Authorization = `Basic ${Buffer.from(`${user}:`).toString('base64')}`
  const { status, bytes } = await http('POST', '/process.Process/Start', { url: i.url, headers, body: envelope({ process, stdin }) })
  if (status !== 200) throw new Error(`Start: ${status} ${bytes}`)
  const r = { stdout: [], stderr: [] }
  for (let at = 0; at + 5 <= bytes.length; ) {
    const n = bytes.readUInt32BE(at + 1)
    const m = JSON.parse(bytes.subarray(at + 5, at + 5 + n).toString() || '{}')
    at += 5 + n
    if (m.error) r.error = m.error
    const e = m.event ?? {}
    if (e.start) r.pid = e.start.pid
    for (const name of ['stdout', 'stderr']) if (e.data?.[name]) r[name].push(Buffer.from(e.data[name], 'base64'))
    if (e.end) r.end = e.end
  }
  return { ...r, stdout: Buffer.concat(r.stdout), stderr: Buffer.concat(r.stderr) }
}
