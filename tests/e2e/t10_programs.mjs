// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { claim } from '../lib/sdk.mjs'
import { program } from '../lib/instance.mjs'

const firebreak = (...args) => spawnSync(program('firebreak'), args, { encoding: 'utf8', timeout: 20000, env: { PATH: process.env.PATH, HOME: '/root' } })

claim('--help and --version answer with 0 on stdout', () => {
  for (const args of [['--help'], ['--version'], ['up', '--help'], ['run', '--help'], ['ps', '--help'], ['kill', '--help'], ['template', '--help'], ['doctor', '--help']]) {
    const r = firebreak(...args)
    assert.equal(r.status, 0, `firebreak ${args.join(' ')}: ${r.stderr}`)
    assert.match(r.stdout, /\S/, `firebreak ${args.join(' ')} prints nothing`)
    assert.doesNotMatch(r.stdout, /\x1b/, 'no colour when stdout is no terminal')
  }
})

claim('a wrong command or option ends with 2 and says what to do', () => {
  for (const args of [['fly'], ['run', '--colour-me'], ['run'], ['kill'], ['up', '--listen', 'nowhere'], ['template', 'fly']]) {
    const r = firebreak(...args)
    assert.equal(r.status, 2, `firebreak ${args.join(' ')} ended with ${r.status}: ${r.stderr}`)
    assert.match(r.stderr, /\S/)
    assert.equal(r.stdout, '')
  }
})

claim('run without a server ends with 1 and says how to start one', () => {
  const r = spawnSync(program('firebreak'), ['run', '-c', 'print(1)'], {
    encoding: 'utf8', timeout: 20000, env: { PATH: process.env.PATH, HOME: '/root', E2B_API_KEY: 'e2b_0', E2B_API_URL: 'http://127.0.0.1:1', FIREBREAK_LISTEN: '127.0.0.1:1' },
  })
  assert.equal(r.status, 1, r.stderr)
  assert.match(r.stderr, /firebreak up/)
})

claim('doctor gives each fact with its evidence, and the kind of isolation', () => {
  const r = firebreak('doctor')
  assert.ok(r.status === 0 || r.status === 1, `ended with ${r.status}: ${r.stderr}`)
  assert.match(r.stdout, /jail/)
  for (const fact of [/cgroup/i, /seccomp/i, /user namespace|userns/i, /erofs/i]) assert.match(r.stdout, fact)
})
