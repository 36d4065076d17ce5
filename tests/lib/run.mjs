// SPDX-License-Identifier: Apache-2.0
// node run.mjs SUITE [NAME]: runs tests/SUITE/*.mjs (those whose file or test name has NAME in it) against one private instance.
import { run } from 'node:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join, basename } from 'node:path'
import { Instance, leftoversAfterAMoment, root } from './instance.mjs'

const [suite, only = ''] = process.argv.slice(2)
const dir = join(root, 'tests', suite)
let failed = 0
let passed = 0

const oneLine = (text) => String(text).replace(/\s+/g, ' ').slice(0, 300)
const ok = (name) => {
  passed++
  console.log(`ok - ${name}`)
}
const notOk = (name, reason, detail) => {
  failed++
  console.log(`not ok - ${name}: ${oneLine(reason)}`)
  if (detail) console.error(String(detail).replace(/^/gm, '# '))
}

// NAME is part of a file's name, of a probe's (a .c file), or of a test's.
const entries = readdirSync(dir).sort()
const files = entries.filter((f) => /\.mjs$/.test(f))
const words = only.replaceAll(' ', '_')
const probe = entries.some((f) => f.endsWith('.c') && f.includes(words))
let chosen = files.filter((f) => f.includes(words))
let pattern
if (only && probe && !chosen.includes('probes.mjs')) chosen.push('probes.mjs')
if (only && chosen.length === 0) {
  chosen = files.filter((f) => readFileSync(join(dir, f), 'utf8').includes(only))
  pattern = [only]
}
if (chosen.length === 0) {
  console.log(`not ok - ${suite}: no file and no test has "${only}" in its name; the files are ${files.map((f) => basename(f, '.mjs')).join(', ')}`)
  process.exit(1)
}
if (only && probe) process.env.FIREBREAK_PROBE = words

let instance
try {
  instance = await Instance.start({ env: { FIREBREAK_TEST_CANARY: 'environment-of-the-services' } })
} catch (e) {
  notOk(`${suite}: firebreak up starts a private instance`, e.message.split('\n')[0], e.message)
  process.exit(1)
}
ok(`${suite}: firebreak up starts a private instance`)
Object.assign(process.env, instance.env, {
  FIREBREAK_T_NAME: instance.name, FIREBREAK_T_DIR: instance.dir, FIREBREAK_T_RUN: instance.run, FIREBREAK_T_STATE: instance.state,
  FIREBREAK_T_UIDBASE: String(instance.uidBase), FIREBREAK_T_LOG: instance.log,
})

// For a test that hangs; the long forms (tests/security/README.md) may take as long as they were told to.
const patience = 900_000 + 5000 * Number(process.env.FIREBREAK_STRESS_SECONDS ?? 0) + 2000 * Number(process.env.FIREBREAK_TREES ?? 0)
const began = performance.now()
// One file after the other: they share the machine, and some of them count what is on it.
for (const file of chosen)
  await new Promise((done) => {
    const stream = run({
      files: [join(dir, file)], concurrency: 1, timeout: patience, forceExit: true,
      testNamePatterns: pattern,
    })
    const isFile = (d) => d.name.endsWith(file) // the file as a whole
    const label = (d) => (isFile(d) ? basename(file, '.mjs') : `${basename(file, '.mjs')}: ${d.name}`)
    stream.on('test:pass', (d) => {
      if (d.skip === undefined && !isFile(d)) ok(label(d))
    })
    stream.on('test:fail', (d) => {
      const error = d.details?.error
      const cause = error?.cause ?? error
      if (!isFile(d) || error?.failureType !== 'subtestsFailed') notOk(label(d), cause?.message ?? cause, cause?.stack ?? '')
    })
    for (const event of ['test:stdout', 'test:stderr']) stream.on(event, (d) => process.stderr.write(d.message))
    stream.on('end', done)
    stream.resume()
  })

const result = await instance.stop()
const name = `${suite}: firebreak up ends with 0 when it is interrupted`
if (result.code === 0) ok(name)
else notOk(name, `ended with ${JSON.stringify(result)}`, instance.logText().slice(-3000))
const left = await leftoversAfterAMoment(instance)
if (left.length === 0) ok(`${suite}: a stopped instance leaves nothing on the host`)
else notOk(`${suite}: a stopped instance leaves nothing on the host`, left.join('; '), left.join('\n'))
if (left.length) instance.endAtOnce()
if (failed) console.error(instance.logText().slice(-3000).replace(/^/gm, '# up: '))
instance.forget()
console.error(`# ${suite}: ${passed} passed, ${failed} failed in ${((performance.now() - began) / 1000).toFixed(1)} s`)
process.exit(failed ? 1 : 0)
