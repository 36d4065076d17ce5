// SPDX-License-Identifier: Apache-2.0
// What a test sees of the pool of ready sandboxes: the numbers it publishes, and its entries as the host sees them.
import { api } from './sdk.mjs'
import { cgroupDirs, until } from './host.mjs'

export async function poolNumbers(i) {
  const { text } = await api('GET', '/metrics', { url: i.url, headers: { 'X-API-Key': i.key } })
  return Object.fromEntries([...text.matchAll(/^e2b_pool_(\w+) (\d+)$/gm)].map(([, name, n]) => [name, Number(n)]))
}

// Ids of sandboxes that run and that the API lists to nobody.
export async function entries(i) {
  const { json } = await api('GET', '/v2/sandboxes?limit=100', { url: i.url, headers: { 'X-API-Key': i.key } })
  const listed = new Set(json.map((s) => s.sandboxID))
  const running = new Set(cgroupDirs(i.name).map((dir) => /\/(i[a-z0-9]{19})$/.exec(dir)?.[1]).filter(Boolean))
  return [...running].filter((id) => !listed.has(id))
}

export const untilReady = (i, n) => until(`${n} sandboxes ready`, 20000, async () => (await poolNumbers(i)).ready === n)
