// SPDX-License-Identifier: Apache-2.0
// Attack: change the image that all sandboxes of a template start from.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { claim, Sandbox } from '../lib/sdk.mjs'

const digest = async (file) => {
  const h = createHash('sha256')
  for await (const chunk of createReadStream(file)) h.update(chunk)
  return h.digest('hex')
}

claim('what root does to its system is gone with its sandbox', async (t) => {
  const a = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => a.kill())
  await a.commands.run('rm -rf /usr/share/doc /usr/bin/curl; printf "#!/bin/sh\\necho taken over\\n" > /usr/bin/id; chmod 755 /usr/bin/id; ln -f /usr/bin/git /usr/bin/other && echo x >> /usr/bin/other', { user: 'root' })
  assert.equal((await a.commands.run('id')).stdout, 'taken over\n', 'the control: it did change its own')
  const b = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => b.kill())
  assert.match((await b.commands.run('id; curl --version; git --version; ls /usr/bin/other || true')).stdout, /uid=1000/)
  const store = join(process.env.FIREBREAK_T_STATE, 'templates')
  for (const f of readdirSync(store).filter((n) => n.endsWith('.erofs'))) assert.equal(await digest(join(store, f)), f.replace('.erofs', ''), 'the image is not what its name says')
})
