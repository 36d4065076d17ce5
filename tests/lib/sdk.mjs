// SPDX-License-Identifier: Apache-2.0
// The unmodified npm package e2b, and an HTTP client that sends what it is told to.
import { createRequire } from 'node:module'
import { request } from 'node:http'
import { test } from 'node:test'

const require = createRequire(new URL('../e2e/package.json', import.meta.url))
export const e2b = require('e2b')
export const { Sandbox } = e2b
export const sdkVersion = require('e2b/package.json').version

export const base = process.env.E2B_API_URL
export const apiKey = process.env.E2B_API_KEY

// A test whose name is a claim. 60 s are for a hung product, not for slow machines.
export const claim = (name, ...rest) => test(name, { timeout: 60000, ...(rest.length > 1 ? rest[0] : {}) }, rest.at(-1))

// {status, headers, text, json}. Headers are sent as given; `body` may be a string, a Buffer or an object (sent as JSON).
export function http(method, path, { headers = {}, body, url = base, timeout = 20000, localAddress } = {}) {
  const { hostname, port } = new URL(url)
  const sent = { ...headers }
  let bytes = body
  if (body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) {
    bytes = JSON.stringify(body)
    sent['Content-Type'] ??= 'application/json'
  }
  if (bytes !== undefined) sent['Content-Length'] ??= Buffer.byteLength(bytes)
  return new Promise((done, failed) => {
    const r = request({ hostname, port, method, path, headers: sent, timeout, agent: false, localAddress }, (answer) => {
      const chunks = []
      answer.on('data', (c) => chunks.push(c))
      answer.on('error', failed)
      answer.on('end', () => {
        const bytes = Buffer.concat(chunks)
        const text = bytes.toString()
        let json
        try {
          json = JSON.parse(text)
        } catch {}
        done({ status: answer.statusCode, headers: answer.headers, text, json, bytes })
      })
    })
    r.on('timeout', () => r.destroy(new Error(`${method} ${path}: no answer in ${timeout} ms`)))
    r.on('error', failed)
    r.end(bytes)
  })
}
export const api = (method, path, { headers = {}, ...rest } = {}) => http(method, path, { headers: { 'X-API-Key': apiKey, ...headers }, ...rest })

// Header routing into a sandbox.
export const into = (sandbox, port, headers = {}) => ({
  'E2b-Sandbox-Id': sandbox.sandboxId ?? sandbox,
  'E2b-Sandbox-Port': String(port),
  ...headers,
})
export const tokenOf = (sandbox) => sandbox.envdAccessToken

// The sandboxes that a file uses, killed at its end whatever happens.
export async function withSandboxes(t, n, options = {}) {
  const made = await Promise.all(Array.from({ length: n }, () => Sandbox.create({ timeoutMs: 300_000, ...options })))
  t.after?.(() => Promise.all(made.map((s) => s.kill().catch(() => {}))))
  return made
}
