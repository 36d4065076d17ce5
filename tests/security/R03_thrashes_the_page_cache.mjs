// SPDX-License-Identifier: Apache-2.0
// Attack: read the image, which all share, again and again, and write and sync what I can, so that others wait for the disk.
import assert from 'node:assert/strict'
import { claim, Sandbox } from '../lib/sdk.mjs'
import { withVictim } from '../lib/victim.mjs'

claim('a victim reads and writes on while another reads the whole image and syncs', { timeout: 120_000 }, async (t) => {
  const s = await Sandbox.create({ timeoutMs: 120_000 })
  t.after(() => s.kill())
  await withVictim(t, 'R03', async (victim) => {
    const attack = s.commands.run('end=$((SECONDS + 6)); n=0; while [ $SECONDS -lt $end ]; do tar cf - --ignore-failed-read /usr 2>/dev/null | head -c 300M | wc -c; head -c 200M /dev/zero > /tmp/dirty; sync; n=$((n + 1)); done; echo rounds $n', { user: 'root', timeoutMs: 100_000 })
    const sync = await victim.commands.run('for i in 1 2 3 4 5; do head -c 1M /dev/urandom > /tmp/mine; sync /tmp/mine && cat /usr/bin/git | wc -c; done', { timeoutMs: 60_000 })
    assert.equal(sync.stdout.trim().split('\n').length, 5)
    const r = await attack
    assert.match(r.stdout, /^[1-9]\d{6,}$/m, 'the attack read nothing')
    assert.match(r.stdout, /^rounds [1-9]/m)
  })
  assert.equal((await s.commands.run('echo works')).stdout, 'works\n')
})
