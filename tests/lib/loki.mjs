// SPDX-License-Identifier: Apache-2.0
// A stand-in for Loki: what its HTTP API (POST /loki/api/v1/push, GET /loki/api/v1/query_range) says about a push, and refuses what Loki would:
// wrong content type, no labels, values that are not [nanoseconds as text, line]. Equal lines of one time and stream are kept once. `mode` is how
// it fails: a status, 'hang' (never answers), 'forget' (takes, and cuts the answer off), a function of (label, line) that refuses with 400.
import { createServer } from 'node:http'

const label = /^[a-zA-Z_][a-zA-Z0-9_]*$/

export class Loki {
  streams = new Map() // labels as JSON -> Map of "ns line" -> [ns, line]
  pushes = 0
  mode = null
  async listen(port = 0) {
    this.server = createServer((q, a) => this.#answer(q, a))
    await new Promise((done) => this.server.listen(port, '127.0.0.1', done))
    this.port = this.server.address().port
    return this
  }
  get url() {
    return `http://127.0.0.1:${this.port}`
  }
  async close() {
    this.server.closeAllConnections()
    await new Promise((done) => this.server.close(done))
  }
  lines(match = () => true) {
    return [...this.streams].filter(([k]) => match(JSON.parse(k))).flatMap(([, v]) => [...v.values()].map(([, line]) => line))
  }
  #answer(q, a) {
    const parts = []
    q.on('data', (d) => parts.push(d))
    q.on('end', () => {
      const url = new URL(q.url, this.url)
      if (q.method === 'GET' && url.pathname === '/loki/api/v1/query_range') return this.#query(url.searchParams.get('query'), a)
      if (q.method !== 'POST' || url.pathname !== '/loki/api/v1/push') return a.writeHead(404).end('404 page not found\n')
      this.tenant = q.headers['x-scope-orgid']
      this.pushes++
      if (typeof this.mode === 'number') return a.writeHead(this.mode, { 'Content-Type': 'text/plain' }).end('not now\n')
      if (this.mode === 'hang') return
      const wrong = this.#push(q.headers['content-type'], Buffer.concat(parts).toString())
      if (this.mode === 'forget') return q.socket.destroy()
      if (wrong) return a.writeHead(400, { 'Content-Type': 'text/plain' }).end(wrong + '\n')
      a.writeHead(204).end()
    })
  }
  #push(type, text) {
    if (!/^application\/json(;|$)/.test(type ?? '')) return 'unsupported content type'
    const body = JSON.parse(text)
    for (const s of body.streams) {
      const names = Object.keys(s.stream)
      if (names.length === 0 || !names.every((n) => label.test(n) && typeof s.stream[n] === 'string')) return 'error at least one label pair is required per stream'
      for (const v of s.values)
        if (!Array.isArray(v) || v.length !== 2 || !/^\d{19}$/.test(v[0]) || typeof v[1] !== 'string') return 'loghttp.PushRequest.Streams: invalid value'
    }
    for (const s of body.streams)
      for (const [ns, line] of s.values)
        if (typeof this.mode === 'function' && this.mode(s.stream, line)) return `entry for stream '${JSON.stringify(s.stream)}' has timestamp too old`
    for (const s of body.streams) {
      const key = JSON.stringify(Object.fromEntries(Object.entries(s.stream).sort()))
      if (!this.streams.has(key)) this.streams.set(key, new Map())
      for (const [ns, line] of s.values) this.streams.get(key).set(`${ns} ${line}`, [ns, line])
    }
  }
  // {name="value"}, {name=~"regex"}, and |= "text", | json | field="value" after it.
  query(text) {
    const m = /^\{(\w+)(=~?)"([^"]*)"\}\s*(.*)$/.exec(text)
    const is = m[2] === '=' ? (v) => v === m[3] : (v) => new RegExp(`^(?:${m[3]})$`).test(v ?? '')
    const found = this.lines((labels) => is(labels[m[1]]))
    const filter = /^\|=\s*"([^"]*)"$/.exec(m[4])
    const field = /^\|\s*json\s*\|\s*(\w+)="([^"]*)"$/.exec(m[4])
    return found.filter((l) => (filter ? l.includes(filter[1]) : true) && (field ? JSON.parse(l)[field[1]] === field[2] : true))
  }
  #query(text, a) {
    a.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ status: 'success', data: { resultType: 'streams', result: [{ stream: {}, values: this.query(text).map((l) => ['0', l]) }] } }))
  }
}
