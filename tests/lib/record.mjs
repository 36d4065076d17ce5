// SPDX-License-Identifier: Apache-2.0
// The record of an instance, read from its files.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const files = (dir) => (existsSync(dir) ? readdirSync(dir).filter((f) => f.endsWith('.jsonl')).sort() : []).map((f) => join(dir, f))
// The newest file of a stream.
export const newest = (i, keep = '90d', job = 'e2b-sandbox') => files(join(i.state, 'audit', job, keep)).at(-1)
export const lines = (i, keep = '90d', job = 'e2b-sandbox') =>
  files(join(i.state, 'audit', job, keep)).flatMap((f) => readFileSync(f, 'utf8').split('\n').slice(0, -1))
// All records, as objects; of one type if it is named.
export const records = (i, type) => ['30d', '90d', '365d'].flatMap((keep) => lines(i, keep)).map((l) => JSON.parse(l)).filter((r) => !type || r.event_type === type)
export const verify = (i, ...args) => {
  const r = i.cli(['audit', 'verify', '--json', ...args])
  return { code: r.code, stderr: r.stderr, ...(r.stdout ? JSON.parse(r.stdout) : {}) }
}
