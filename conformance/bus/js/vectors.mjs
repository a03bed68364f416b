// Writes the vectors of @socket.io/redis-adapter and @socket.io/redis-emitter: what they publish, and what the adapter makes
// of our messages.
//
//   node vectors.mjs
//
// No Redis is needed: the adapter publishes into a list. The Rust test `javascript_adapter` of roomcast-core reads the result
// beside its file, and writes `roomcast.json`, the messages that are received here.
import crypto from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'

// Ids of servers and requests are drawn: all of them are AAAAAA here, and each case has a server of its own.
crypto.randomBytes = length => Buffer.alloc(length)
syncBuiltinESMExports()
const require = createRequire(import.meta.url)
const { Server } = require('socket.io')
const { createAdapter } = require('@socket.io/redis-adapter')
const { Emitter } = require('@socket.io/redis-emitter')

const VECTORS = new URL('../../../core/roomcast-core/tests/javascript-adapter/', import.meta.url)
const OTHER = 'b'.repeat(32)
const base64 = data => Buffer.from(data).toString('base64')
const settled = () => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

/** A Redis client that keeps what is published. Three servers are subscribed. */
class Redis {
  published = []
  listeners = {}
  publish (channel, payload) { this.published.push({ channel, payload: base64(payload) }) }
  on (event, listener) { this.listeners[event] = listener }
  psubscribe () {}
  subscribe () {}
  send_command (_command, [, channel], done) { done(null, [channel, 3]) }
}

/** A connected client, as far as the adapter looks at it. */
class Socket {
  sent = []
  gone = null
  acks = new Map()
  handshake = { headers: { host: 'x' }, query: {}, auth: { token: 'secret' } }
  data = { name: 'ä' }
  constructor (id, adapter) {
    Object.assign(this, { id, adapter })
    const write = (packets, { volatile }) => {
      this.sent.push(...packets.map(packet => typeof packet === 'string' ? packet : { base64: base64(packet) }))
      if (volatile) this.sent.push('volatile')
    }
    this.client = { writeToEngine: write }
    this.join(id)
  }

  get rooms () { return this.adapter.sids.get(this.id) }
  join (rooms) { this.adapter.addAll(this.id, new Set([rooms].flat())) }
  leave (room) { this.adapter.del(this.id, room) }
  disconnect (close) { this.gone = { close } }
}

/** A server with two clients, one of them in a room. */
function server (options) {
  const redis = new Redis()
  const io = new Server({ serveClient: false })
  io.adapter(createAdapter(redis, redis, options))
  const nsp = io.of('/')
  const sockets = ['first-socket-AAAAAAA', 'second-socket-BBBBBB'].map(id => new Socket(id, nsp.adapter))
  for (const socket of sockets) nsp.sockets.set(socket.id, socket)
  sockets[1].join('red')
  return { io, nsp, redis, sockets }
}

// What servers say.
const ignore = () => {}
const said = {
  "io.emit('event')": io => io.emit('event'),
  "io.emit('event', 1, -1, 1.5, 'é😀', null, undefined, true, [2], {a: {b: []}})":
    io => io.emit('event', 1, -1, 1.5, 'é😀', null, undefined, true, [2], { a: { b: [] } }),
  'large numbers': io => io.emit('event', 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, -32, -33, -128, -129, -32769, -(2 ** 31) - 1),
  'long values': io => io.emit('event', 'x'.repeat(31), 'x'.repeat(32), 'y'.repeat(256), 'z'.repeat(65536), Array(16).fill(0), Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`k${n}`, n]))),
  'no numbers': io => io.emit('event', NaN, Infinity),
  'a date': io => io.emit('event', new Date(1795293000123), new Date(0), new Date(-1)),
  bytes: io => io.emit('event', Buffer.from([0, 255]), { x: new Uint8Array([1]), y: [Buffer.alloc(0), new Uint8Array([7]).buffer] }),
  "io.to('red').emit('event', 1)": io => io.to('red').emit('event', 1),
  "io.to(5).emit('event', 1)": io => io.to(5).emit('event', 1),
  "io.to(['red', 'blue']).except('green').emit('event', 1)": io => io.to(['red', 'blue']).except('green').emit('event', 1),
  "io.volatile.compress(true).emit('event', 1)": io => io.volatile.compress(true).emit('event', 1),
  "io.of('/admin').emit('event', 1)": io => io.of('/admin').emit('event', 1),
  "io.local.emit('event', 1)": io => io.local.emit('event', 1),
  "io.to('red').timeout(1).emit('event', 1, callback)": io => io.to('red').timeout(1).emit('event', 1, ignore),
  "io.in('red').socketsJoin('blue')": io => io.in('red').socketsJoin('blue'),
  "io.except('red').socketsJoin(['blue', 'green'])": io => io.except('red').socketsJoin(['blue', 'green']),
  "io.in('red').socketsLeave('blue')": io => io.in('red').socketsLeave('blue'),
  "io.socketsLeave(['blue', 'green'])": io => io.socketsLeave(['blue', 'green']),
  "io.in('red').disconnectSockets()": io => io.in('red').disconnectSockets(),
  "io.in('red').disconnectSockets(true)": io => io.in('red').disconnectSockets(true),
  "io.in('red').except('blue').fetchSockets()": io => { io.in('red').except('blue').fetchSockets() },
  "io.serverSideEmit('event', 1, {a: 'é'})": io => io.serverSideEmit('event', 1, { a: 'é' }),
  "io.serverSideEmit('event', callback)": io => io.serverSideEmit('event', ignore),
  'adapter.allRooms()': io => { io.of('/').adapter.allRooms() }
}
const emitted = {
  "emitter.emit('event', 1)": emitter => emitter.emit('event', 1),
  "emitter.to('red').emit('event', Buffer)": emitter => emitter.to('red').emit('event', Buffer.from([0, 255])),
  "emitter.of('admin').to('a').to('b').except('c').volatile.emit('event')":
    emitter => emitter.of('admin').to('a').to('b').except('c').volatile.emit('event'),
  "emitter.in('red').socketsJoin('blue')": emitter => emitter.in('red').socketsJoin('blue'),
  "emitter.in('red').socketsLeave(['blue', 'green'])": emitter => emitter.in('red').socketsLeave(['blue', 'green']),
  "emitter.in('red').disconnectSockets(true)": emitter => emitter.in('red').disconnectSockets(true),
  "emitter.serverSideEmit('event', 1)": emitter => emitter.serverSideEmit('event', 1)
}

const published = []
for (const [call, say] of Object.entries(said)) {
  const { io, redis } = server()
  say(io)
  await settled()
  published.push({ call, published: redis.published })
}
for (const [call, say] of Object.entries(emitted)) {
  const redis = new Redis()
  say(new Emitter(redis))
  published.push({ call, published: redis.published })
}
// Another key, and answers over the channel of the asker.
{
  const { nsp, redis } = server({ key: 'other', publishOnSpecificResponseChannel: true })
  nsp.emit('event')
  const request = Buffer.from(JSON.stringify({ uid: OTHER, requestId: `${OTHER}:1`, type: 5, opts: { rooms: [], except: [] } }))
  await nsp.adapter.onrequest('other-request#/#', request)
  published.push({ call: "key: 'other', publishOnSpecificResponseChannel: true", published: redis.published })
}

// What a server makes of our messages. A case begins with what it has asked itself.
const asked = {
  'answer: sockets': (io, done) => io.fetchSockets().then(sockets => done(sockets.map(({ id, rooms }) => [id, [...rooms]]))),
  'answer: rooms': (io, done) => { io.of('/').adapter.allRooms().then(rooms => done([...rooms])) },
  'answer: server reply': (io, done) => io.serverSideEmit('event', (error, replies) => done(error ? String(error) : replies)),
  'answer: count and acks': (io, done) => io.except('red').timeout(60000).emit('event', (error, replies) => done(error ? String(error) : replies))
}
const received = []
for (const { name, messages } of JSON.parse(readFileSync(new URL('roomcast.json', VECTORS)))) {
  const { io, nsp, redis, sockets } = server()
  const heard = []
  for (const event of ['event', 'ask']) {
    nsp.on(event, (...args) => {
      const reply = typeof args.at(-1) === 'function' ? args.pop() : ignore
      heard.push(args.map(arg => Buffer.isBuffer(arg) ? { base64: base64(arg) } : arg))
      reply('replied')
    })
  }
  let result
  if (asked[name]) {
    // The other two servers answer at once.
    redis.send_command = (_command, [, channel], done) => done(null, [channel, 2])
    asked[name](io, value => { result = value })
    await settled()
    redis.published.length = 0
    sockets[0].acks.forEach(ack => ack('of javascript'))
  }
  for (const { channel, payload } of messages) {
    const bytes = Buffer.from(payload, 'base64')
    if (channel.startsWith(nsp.adapter.channel)) nsp.adapter.onmessage(null, channel, bytes)
    else await nsp.adapter.onrequest(channel, bytes)
  }
  await settled()
  for (const { acks } of sockets) if (!asked[name]) acks.forEach(ack => ack({ bytes: Buffer.from([1]) }))
  const clients = sockets.map(({ id, sent, gone, rooms }) => ({ id, sent, gone, rooms: [...rooms] }))
  received.push({ name, clients, heard, published: redis.published, result })
}
const write = (name, value) => writeFileSync(new URL(name, VECTORS), `${JSON.stringify(value, null, 1)}\n`)
write('published.json', published)
write('received.json', received)
process.exit(0)
