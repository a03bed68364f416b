// Two roomcast nodes, two JavaScript servers with @socket.io/redis-adapter and an emitter on one Redis.
//
//   node check.mjs NODE_COMMAND REDIS_PORT
//
// Clients are real ones. That something does not arrive is shown by what is sent after it: a publisher's messages stay in
// order. What waits for answers waits less than the nodes do: it ends because all have answered.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { createAdapter } from '@socket.io/redis-adapter'
import { Emitter } from '@socket.io/redis-emitter'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { Server } from 'socket.io'
import { io as connect } from 'socket.io-client'

const [command, redisPort] = process.argv.slice(2)
const PATIENCE = 20000
const END = 'end of the step'

/** Ends with what was started. */
const endings = []

async function node (runtime, dialect) {
  const environment = { ...process.env, PORT: '0', REDIS_URL: `redis://127.0.0.1:${redisPort}/0`, DIALECT: dialect }
  const child = spawn(command, ['--runtime', runtime], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] })
  endings.push(() => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /listening on http:\/\/.*:(\d+)/.exec(line)?.[1]
    if (port) return { port, child }
  }
  throw new Error('the node has ended')
}

/** A JavaScript server. Its events are those of the nodes. */
async function javascript (pub, sub, options) {
  const http = createServer()
  const io = new Server(http, { adapter: createAdapter(pub, sub, options) })
  io.on('connection', socket => {
    socket.on('join', (room, done) => { socket.join(room); done('joined', room) })
    socket.on('room-cast', (room, ...data) => io.to(room).emit('room-event', room, ...data))
  })
  const heard = []
  const told = []
  const ask = (...args) => {
    const reply = args.pop()
    heard.push(args)
    reply({ javascript: args })
  }
  io.on('ask', ask)
  io.on('tell', (...args) => told.push(args))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  endings.push(() => { io.close(); pub.disconnect(); sub.disconnect() })
  return { io, heard, told, ask, port: http.address().port }
}

/** A client that keeps what it gets. */
class Client {
  got = []
  waiting = null
  answer = undefined
  constructor (port) {
    this.socket = connect(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false })
    endings.push(() => this.socket.disconnect())
    this.gone = once(this.socket, 'disconnect')
    this.socket.onAny((event, ...args) => {
      if (event === 'auth') return
      const reply = typeof args.at(-1) === 'function' ? args.pop() : undefined
      if (reply) return reply(...this.answer)
      this.got.push([event, ...args])
      this.waiting?.()
    })
  }

  get sid () { return this.socket.id }

  async connected () {
    if (!this.socket.connected) await once(this.socket, 'connect')
    return this
  }

  ask (...args) { return this.socket.timeout(PATIENCE).emitWithAck(...args) }

  /** Acks of several arguments: emitWithAck gives the first alone. */
  askAll (...args) {
    return new Promise((resolve, reject) => {
      this.socket.timeout(PATIENCE).emit(...args, (error, ...answers) => error ? reject(error) : resolve(answers))
    })
  }

  async expect (...expected) {
    for (const event of expected) {
      while (!this.got.length) {
        await new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`${JSON.stringify(event)} does not come`)), PATIENCE)
          this.waiting = () => { clearTimeout(timer); this.waiting = null; resolve() }
        })
      }
      const got = this.got.shift()
      // A JavaScript server drops what is volatile while it writes something else.
      if (this.drops && event[0] === 'volatile' && got[0] !== 'volatile') this.got.unshift(got)
      else assert.deepEqual(got, event)
    }
  }
}

const within = promise => Promise.race([promise, new Promise((_resolve, reject) => {
  setTimeout(() => reject(new Error('no answer')), PATIENCE).unref()
})])
const sorted = list => [...list].sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

/** What a server or the emitter says reaches the clients of all. */
async function javascriptEmits (say, clients) {
  const [a, b, c, d] = clients
  for (const args of [
    [], [1, -1, 1.5, 2 ** 40], ['text é😀'], [null, [null, true], { ä: [[]] }],
    [{ x: Buffer.from([0, 255]), y: [Buffer.alloc(5000, 'z')] }, Buffer.from('alone')]
  ]) {
    say.to('hall').emit('data', ...args)
    for (const client of clients) await client.expect(['data', ...args])
  }
  say.to('hall').emit('date', new Date(1795293000123))
  say.except([a.sid, c.sid]).emit('except', 1)
  say.to('other').to(a.sid).to('hall').except(d.sid).emit('rooms', 2)
  say.to(b.sid).emit('one', 3)
  say.to('nowhere').emit('nobody', 4)
  say.volatile.emit('volatile', 5)
  say.emit('all', END)
  const date = ['date', '2026-11-21T20:30:00.123Z']
  const except = ['except', 1]
  const rooms = ['rooms', 2]
  const last = [['volatile', 5], ['all', END]]
  await a.expect(date, rooms, ...last)
  await b.expect(date, except, rooms, ['one', 3], ...last)
  await c.expect(date, rooms, ...last)
  await d.expect(date, except, ...last)
}

/**
 * Rooms of sockets that others have: a server moves its own ones by way of Redis, behind its own next emit. These messages have
 * no answer: the next emit shows them.
 */
async function javascriptMoves (say, [a, b, c, d]) {
  say.in([a.sid, b.sid, d.sid]).socketsJoin(['late', 'later'])
  say.to('late').emit('late', 1)
  say.to('later').emit('late', 2)
  say.in('late').except(b.sid).socketsLeave('late')
  say.to('late').emit('late', 3)
  say.socketsLeave(['late', 'later'])
  say.to(['late', 'later']).emit('late', 4)
  say.emit('all', END)
  const first = [['late', 1], ['late', 2]]
  await a.expect(...first, ['all', END])
  await b.expect(...first, ['late', 3], ['all', END])
  await c.expect(['all', END])
  await d.expect(...first, ['all', END])
}

async function roomcastEmits (clients) {
  const [a, b, c, d] = clients
  for (const data of ['text é😀', { a: [1, null, -2.5] }, null, [1, 2], Buffer.from([1, 2]), { in: Buffer.from('side') }]) {
    a.socket.emit('room-cast', 'hall', data)
    for (const client of clients) await client.expect(['room-event', 'hall', data])
  }
  b.socket.emit('typing', 'hall', 'x')
  b.socket.emit('cast-volatile', 'hall', 'x')
  b.socket.emit('broadcast', END)
  for (const client of clients) {
    await client.expect(...client === b ? [] : [['typing', 'x']], ['volatile', 'x'], ['broadcast', END])
  }
  assert.deepEqual(await a.ask('move', c.sid, 'hall', 'late'), 'moved')
  a.socket.emit('room-cast', 'hall', 1)
  assert.deepEqual(await a.ask('move', c.sid, 'late', 'hall'), 'moved')
  a.socket.emit('room-cast', 'hall', 2)
  for (const client of clients) {
    await client.expect(...client === c ? [] : [['room-event', 'hall', 1]], ['room-event', 'hall', 2])
  }
  d.socket.emit('room-cast', 'hall', END)
  for (const client of clients) await client.expect(['room-event', 'hall', END])
}

/** Which sockets and rooms there are, asked from both sides. */
async function fetches (first, clients) {
  const [a] = clients
  const all = sorted(clients.map(({ sid }) => [sid, sorted([sid, 'hall'])]))
  for (const say of [first.io.in('hall'), first.io]) {
    const sockets = await within(say.fetchSockets())
    assert.deepEqual(sorted(sockets.map(({ id, rooms }) => [id, sorted(rooms)])), all)
    const ours = sockets.find(({ id }) => id === a.sid)
    assert.equal(ours.handshake.auth.token, undefined)
    // A socket of another server is as good as one of its own.
    ours.emit('by its socket', 1)
    await a.expect(['by its socket', 1])
  }
  const rooms = await within(first.io.of('/').adapter.allRooms())
  assert.deepEqual(sorted(rooms), sorted(['hall', ...clients.map(({ sid }) => sid)]))
  for (const client of clients.slice(0, 2)) {
    const [sockets, missing] = await client.askAll('fetch', 'hall')
    assert.deepEqual(sorted(sockets), sorted(clients.map(({ sid }) => [sid, ['hall']])))
    assert.equal(missing, 0)
  }
  const ids = (await within(first.io.except(a.sid).fetchSockets())).map(({ id }) => id)
  assert.deepEqual(sorted(ids), sorted(clients.slice(1).map(({ sid }) => sid)))
}

/** Acks of the clients of all, for emits of both sides. */
async function acks (servers, clients) {
  const values = [['of a'], [Buffer.from([7])], [{ c: null }], []]
  clients.forEach((client, index) => { client.answer = values[index] })
  const firsts = values.map(([first]) => first)
  for (const { io } of servers) {
    // An answer without a value is null, if it comes from elsewhere.
    const answers = await io.to('hall').timeout(PATIENCE).emitWithAck('question', { n: 1 })
    assert.deepEqual(sorted(answers.map(answer => answer ?? null)), sorted(firsts.map(answer => answer ?? null)))
    assert.deepEqual(await io.to('nowhere').timeout(PATIENCE).emitWithAck('question'), [])
    const [remote] = (await io.fetchSockets()).filter(({ id }) => id === clients[0].sid)
    assert.equal(await remote.timeout(PATIENCE).emitWithAck('question', 1), 'of a')
  }
  for (const client of clients.slice(0, 2)) {
    const [answers, asked] = await client.askAll('ask-all', 'hall', 1)
    assert.deepEqual([sorted(answers), asked], [sorted(values), 4])
    assert.deepEqual(await client.askAll('ask-all', clients[2].sid, 1), [[values[2]], 1])
    assert.deepEqual(await client.askAll('ask-all', 'nowhere', 1), [[], 0])
  }
}

/** What applications say to each other. */
async function serverSide (servers, emitter, clients) {
  const [a, b] = clients
  const [first, second] = servers
  const args = [1, { ä: [null] }]
  for (const { io } of servers) {
    const replies = await within(io.serverSideEmitWithAck('ask', ...args))
    assert.deepEqual(sorted(replies), sorted([{ javascript: args }, { roomcast: args }, { roomcast: args }]))
  }
  for (const client of [a, b]) {
    const [replies, isComplete] = await client.askAll('server-emit', ...args, Buffer.from([5]))
    const all = [...args, Buffer.from([5])]
    const buffer = JSON.parse(JSON.stringify(Buffer.from([5])))
    const roomcast = [{ roomcast: all }]
    // JavaScript writes its replies as JSON.
    const javascript = [{ javascript: [...args, buffer] }]
    assert.deepEqual([sorted(replies), isComplete], [sorted([roomcast, javascript, javascript]), true])
  }
  // It writes its events as JSON, too.
  for (const say of [first.io, emitter]) {
    say.serverSideEmit('tell', 'no reply', Buffer.from([6]))
    for (const client of [a, b]) await client.expect(['server-event', 'no reply', { type: 'Buffer', data: [6] }])
  }
  for (const server of servers) server.told.splice(0)
  a.socket.emit('server-tell', 'no reply', Buffer.from([6]))
  await b.expect(['server-event', 'no reply', Buffer.from([6])])
  for (const { told } of servers) assert.deepEqual(told, [['no reply', Buffer.from([6])]])
  // One server does not answer: the others' replies are there in the end.
  second.io.removeAllListeners('ask')
  const partial = await new Promise(resolve => {
    first.io.of('/').adapter.requestsTimeout = 2000
    first.io.serverSideEmit('ask', 1, (error, replies) => resolve([error, replies]))
  })
  first.io.of('/').adapter.requestsTimeout = PATIENCE
  assert.match(String(partial[0]), /timeout reached: only 2 responses received out of 3/)
  assert.deepEqual(partial[1], [{ roomcast: [1] }, { roomcast: [1] }])
  const [some, isComplete] = await a.askAll('server-ask-briefly', 1)
  assert.deepEqual([sorted(some), isComplete], [sorted([[{ roomcast: [1] }], [{ javascript: [1] }]]), false])
  second.io.on('ask', second.ask)
  await a.askAll('server-emit', END)
  for (const { heard } of [second]) assert.deepEqual(heard.splice(0).at(-1), [END])
}

async function local ({ io }, clients) {
  io.local.emit('local', 1)
  io.emit('all', END)
  for (const client of clients) await client.expect(...client === clients[2] ? [['local', 1]] : [], ['all', END])
}

/** Ends of sockets that others have; then nodes and servers end, and nobody waits for them. */
async function ends (servers, nodes, clients) {
  const [a, b, c, d] = clients
  const [first, second] = servers
  first.io.in(b.sid).disconnectSockets(true)
  await within(b.gone)
  a.socket.emit('disconnect-room', d.sid, false)
  assert.equal((await within(d.gone))[0], 'io server disconnect')
  const ids = async () => sorted((await within(first.io.fetchSockets())).map(({ id }) => id))
  assert.deepEqual(await ids(), sorted([a.sid, c.sid]))
  nodes[1].child.kill('SIGKILL')
  await once(nodes[1].child, 'exit')
  // Redis takes a moment to see it.
  while (await first.io.of('/').adapter.serverCount() > 3);
  assert.deepEqual(await ids(), sorted([a.sid, c.sid]))
  const fetched = async () => sorted((await a.askAll('fetch', 'hall'))[0].map(([sid]) => sid))
  assert.deepEqual(await fetched(), sorted([a.sid, c.sid]))
  second.io.of('/').adapter.close()
  while (await first.io.of('/').adapter.serverCount() > 2);
  assert.deepEqual(await fetched(), sorted([a.sid, c.sid]))
}

async function main () {
  const options = { host: '127.0.0.1', port: Number(redisPort) }
  const nodes = [await node('tokio', 'javascript'), await node('smol', 'javascript-specific')]
  const pub = createClient({ socket: options })
  const sub = pub.duplicate()
  await Promise.all([pub.connect(), sub.connect()])
  const servers = [
    await javascript(new Redis(options), new Redis(options)),
    await javascript(pub, sub, { publishOnSpecificResponseChannel: true })
  ]
  const redis = new Redis(options)
  endings.push(() => redis.disconnect())
  const emitter = new Emitter(redis)
  while (await servers[0].io.of('/').adapter.serverCount() < 4);
  const ports = [...nodes, ...servers].map(({ port }) => port)
  const clients = await Promise.all(ports.map(port => new Client(port).connected()))
  for (const client of clients) await client.ask('join', 'hall')
  clients[2].drops = clients[3].drops = true
  const step = async (name, run) => {
    await run
    console.log(`javascript: ${name}: ok`)
  }
  for (const { io } of servers) await step('emits of a server', javascriptEmits(io, clients))
  await step('emits of the emitter', javascriptEmits(emitter, clients))
  const [a, b, c, d] = clients
  await step('moves of a server', javascriptMoves(servers[0].io, [a, b, c, d]))
  await step('moves of a server', javascriptMoves(servers[1].io, [a, b, d, c]))
  await step('moves of the emitter', javascriptMoves(emitter, clients))
  await step('emits of a node', roomcastEmits(clients))
  for (const server of servers) await step('sockets and rooms', fetches(server, clients))
  await step('acks', acks(servers, clients))
  await step('applications', serverSide(servers, emitter, clients))
  await step('local emits', local(servers[0], clients))
  await step('ends', ends(servers, nodes, clients))
}

let code = 0
try {
  await main()
} catch (error) {
  console.error(error)
  code = 1
}
for (const end of endings) {
  try { end() } catch { /* It has ended. */ }
}
process.exit(code)
