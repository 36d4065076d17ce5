// SPDX-License-Identifier: Apache-2.0
// What the host can see of sandboxes. Reads /proc and /sys only.
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export const UIDS_PER_SANDBOX = 65536

const read = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

export const pids = () =>
  readdirSync('/proc')
    .filter((n) => /^[0-9]+$/.test(n))
    .map(Number)

// {Name: 'jailmon', Uid: ['1', '1', '1', '1'], ...}, or null if there is no such process.
export function status(pid) {
  const text = read(`/proc/${pid}/status`)
  if (!text) return null
  return Object.fromEntries(
    text
      .trim()
      .split('\n')
      .map((line) => {
        const at = line.indexOf(':')
        const value = line.slice(at + 1).trim()
        return [line.slice(0, at), /^(Uid|Gid)$/.test(line.slice(0, at)) ? value.split(/\s+/).map(Number) : value]
      }),
  )
}

export const commandLine = (pid) => read(`/proc/${pid}/cmdline`).split('\0').slice(0, -1)

export function exe(pid) {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return ''
  }
}

// Processes one of whose four uids is in [first, first + count).
export const pidsWithUids = (first, count) =>
  pids().filter((pid) => {
    const s = status(pid)
    return s && s.State?.[0] !== 'Z' && s.Uid.some((u) => u >= first && u < first + count)
  })

// Every cgroup directory, in every hierarchy, whose path has `word` in it.
export function cgroupDirs(word) {
  const out = []
  const walk = (dir, depth) => {
    let entries
    try {
      entries = readdirSync(dir, { withFileTypes: true })
    } catch {
      return
    }
    for (const e of entries) {
      if (!e.isDirectory()) continue
      const path = `${dir}/${e.name}`
      if (path.includes(word)) out.push(path)
      if (depth < 8) walk(path, depth + 1)
    }
  }
  walk('/sys/fs/cgroup', 0)
  return out
}

export const mounts = (word) =>
  read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(word))

export const interfaces = () => readdirSync('/sys/class/net').sort()

// What freezes the processes of a sandbox, but not its monitor; `version` is that of the cgroups.
export function freezer(id) {
  const v1 = cgroupDirs(id).find((d) => /\/freezer\//.test(d))
  const set = (file, word) => () => writeFileSync(file, word)
  if (v1) {
    const file = `${v1}/freezer.state`
    return { version: 1, freeze: set(file, 'FROZEN'), thaw: set(file, 'THAWED'), isFrozen: () => read(file) === 'FROZEN\n' }
  }
  const box = cgroupDirs(id).find((d) => d.endsWith('/box'))
  return { version: 2, freeze: set(`${box}/cgroup.freeze`, '1'), thaw: set(`${box}/cgroup.freeze`, '0'), isFrozen: () => /frozen 1/.test(read(`${box}/cgroup.events`)) }
}

// All processes of a sandbox, its monitor included, as host pids.
export function sandboxPids(id) {
  const found = new Set()
  for (const dir of cgroupDirs(id))
    for (const line of read(`${dir}/cgroup.procs`).split('\n')) if (line && line !== '0') found.add(Number(line))
  return [...found].sort((a, b) => a - b)
}

export const monitorPid = (id) => sandboxPids(id).find((pid) => /jailmon/.test(exe(pid)) || status(pid)?.Name === 'jailmon')

// The first host uid of a sandbox's range: the monitor runs as the last one.
export function firstUid(id) {
  const monitor = monitorPid(id)
  return monitor === undefined ? undefined : status(monitor).Uid[0] - (UIDS_PER_SANDBOX - 1)
}

export const isAlive = (pid) => {
  const s = status(pid)
  return s !== null && s.State[0] !== 'Z'
}

// Waits until fn returns something truthy, and returns it; after `ms` fails, naming what was waited for.
export async function until(what, ms, fn) {
  const end = performance.now() + ms
  for (;;) {
    const value = await fn()
    if (value) return value
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`)
    await sleep(20)
  }
}
