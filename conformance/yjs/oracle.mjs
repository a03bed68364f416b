// npm yjs as an oracle: a request is one line of JSON on stdin, the answer one line on stdout.
//
//   {"op":"generate","seed":1}                      random concurrent editing; answers the updates and some snapshots
//   {"op":"compare","update":"base64"}              is a fresh document with this update the generated one?
//   {"op":"compare","base":"base64","update":"…"}   the same, on top of a state that is known already
//   {"op":"merge","updates":["base64",…]}           Y.mergeUpdates
//   {"op":"hostile","updates":[…],"merged":"…","states":[[3,"base64"],…]}   can members bear these, live and after joining?
//   {"op":"read","update":"base64","name":"text"}   the text of a root type
import * as readline from 'node:readline'
import * as Y from 'yjs'

const encode = bytes => Buffer.from(bytes).toString('base64')
const decode = text => new Uint8Array(Buffer.from(text, 'base64'))

// mulberry32: small, and the same everywhere.
const random = seed => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = n => Math.floor(next() * n)
  return { below, chance: p => next() < p, pick: list => list[below(list.length)] }
}

const WORDS = ['a', 'bc', 'hello ', '\u00e9\u00df', '\u20ac', '\u{1f600}', 'x\u{1f468}\u200d\u{1f469}y', '\u{10ffff}\u{10000}', 'zz\nz', '\u{1f9d1}\u{1f3fd}']
const VALUES = [null, true, -7, 1.5, 2 ** 40, 'text \u{1f600}', [1, [2, 'x']], { a: { b: [] } }, undefined, new Uint8Array([1, 2, 255])]

const LONG = 'long \u{1f600}\u20ac '.repeat(900)

const editText = (r, text) => {
  const at = r.below(text.length + 1)
  switch (r.below(8)) {
    case 0: case 1: case 2: text.insert(at, r.chance(0.02) ? LONG : r.pick(WORDS)); break
    case 3: text.insert(at, r.pick(WORDS), r.pick([{ bold: true }, { bold: null }, { link: { href: 'h' } }])); break
    case 4: case 5: {
      const len = Math.min(text.length - at, 1 + r.below(r.chance(0.05) ? 3000 : 4))
      if (len > 0) text.delete(at, len)
      break
    }
    case 6: {
      const len = Math.min(text.length - at, 1 + r.below(6))
      if (len > 0) text.format(at, len, r.pick([{ bold: true }, { bold: null }, { em: {} }]))
      break
    }
    case 7: text.insertEmbed(at, r.pick([{ image: 'i' }, { nested: [1, 2] }])); break
  }
}

const editMap = (r, map, depth) => {
  const key = r.pick(['k', 'l', '\u{1f511}'])
  switch (r.below(6)) {
    case 0: map.delete(key); break
    case 1: map.set(key, depth > 0 ? fresh(r) : 0); break
    case 2: { const child = map.get(key); if (child instanceof Y.AbstractType) editAny(r, child, depth - 1); break }
    default: map.set(key, r.pick(VALUES)); break
  }
}

const editArray = (r, array, depth) => {
  const at = r.below(array.length + 1)
  switch (r.below(6)) {
    case 0: case 1: array.insert(at, [r.pick(VALUES), r.pick(VALUES)].filter(v => v !== undefined && !(v instanceof Uint8Array))); break
    case 2: array.insert(at, [depth > 0 ? fresh(r) : new Uint8Array([7])]); break
    case 3: if (array.length > at) array.delete(at, Math.min(array.length - at, 1 + r.below(3))); break
    case 4: { const child = array.length > 0 ? array.get(r.below(array.length)) : null; if (child instanceof Y.AbstractType) editAny(r, child, depth - 1); break }
    case 5: array.push([r.below(100)]); break
  }
}

const editXml = (r, fragment, depth) => {
  const at = r.below(fragment.length + 1)
  switch (r.below(7)) {
    case 0: case 1: fragment.insert(at, [new Y.XmlElement(r.pick(['p', 'h1', 'ul']))]); break
    case 2: fragment.insert(at, [new Y.XmlText(r.pick(WORDS))]); break
    case 3: if (fragment.length > at) fragment.delete(at, Math.min(fragment.length - at, 1 + r.below(2))); break
    case 4: if (fragment instanceof Y.XmlElement) fragment.setAttribute(r.pick(['id', 'class']), r.pick(['1', 'two'])); break
    default: { const child = fragment.length > 0 ? fragment.get(r.below(fragment.length)) : null; if (child !== null) editAny(r, child, depth - 1) }
  }
}

const fresh = r => r.pick([
  () => new Y.Text(r.pick(WORDS)), () => new Y.Map([['k', r.below(9)]]), () => Y.Array.from([r.below(9), 'v']),
  () => new Y.XmlElement('div'), () => new Y.XmlFragment(), () => new Y.Doc({ guid: 'sub' + r.below(1e9) })
])()

const editAny = (r, type, depth) => {
  if (type instanceof Y.XmlText || type instanceof Y.Text) editText(r, type)
  else if (type instanceof Y.XmlFragment) editXml(r, type, depth)
  else if (type instanceof Y.Map) editMap(r, type, depth)
  else if (type instanceof Y.Array) editArray(r, type, depth)
}

const roots = doc => [doc.getText('text'), doc.getMap('map'), doc.getArray('array'), doc.getXmlFragment('xml')]

// The order of map keys and attributes is that in which they arrived, which says nothing.
const ordered = (_key, value) => value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array
  ? value
  : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))

const content = doc => {
  const [text, map, array, xml] = roots(doc)
  return JSON.stringify([text.toDelta(), map.toJSON(), array.toJSON(), xml.toString()], ordered)
}

const deletions = doc => {
  const set = Y.createDeleteSetFromStructStore(doc.store)
  return JSON.stringify([...set.clients.entries()].sort((a, b) => a[0] - b[0]).map(([c, d]) => [c, d.map(x => [x.clock, x.len])]))
}

const replica = updates => {
  const doc = new Y.Doc()
  updates.forEach(update => Y.applyUpdate(doc, update))
  return doc
}

let reference = new Y.Doc()

const generate = ({ seed, clients = 3, steps = 60 }) => {
  const r = random(seed)
  const log = []
  const snapshots = []
  const echoes = []
  const docs = Array.from({ length: clients }, (_, i) => {
    const doc = new Y.Doc()
    doc.clientID = r.pick([i + 1, r.below(2 ** 31), 2 ** 53 - 1 - i])
    roots(doc)
    doc.undo = new Y.UndoManager(roots(doc), { captureTimeout: 0 })
    doc.seen = new Set()
    doc.on('update', (update, origin) => {
      if (origin === 'remote') echoes.push(update)
      else { doc.seen.add(log.length); log.push(update) }
    })
    return doc
  })
  const receive = (doc, most) => {
    for (let i = 0; i < log.length && most > 0; i++) {
      if (doc.seen.has(i)) continue
      doc.seen.add(i)
      Y.applyUpdate(doc, log[i], 'remote')
      most--
    }
  }
  const mostlyText = r.chance(0.4)
  for (let step = 0; step < steps; step++) {
    const doc = r.pick(docs)
    if (r.chance(0.4)) receive(doc, 1 + r.below(8))
    if (r.chance(0.08)) r.chance(0.6) ? doc.undo.undo() : doc.undo.redo()
    else {
      const times = r.chance(0.2) ? 1 + r.below(4) : 1
      doc.transact(() => {
        for (let i = 0; i < times; i++) editAny(r, roots(doc)[mostlyText ? 0 : r.below(4)], 2)
      })
    }
    if (r.chance(0.05)) {
      const member = replica([...doc.seen].sort((a, b) => a - b).map(i => log[i]))
      snapshots.push([encode(Y.encodeStateVector(member)), encode(Y.encodeStateAsUpdate(member))])
    }
  }
  // Receiving may clean up formats, which is an edit of its own.
  for (let known = -1; known !== log.length;) {
    known = log.length
    docs.forEach(doc => receive(doc, Infinity))
  }
  // Some edits of yjs cut a surrogate pair without a trace in any update, so that only the editor itself sees U+FFFD.
  // The reference is the content of a member that has received all updates.
  reference = replica(log)
  const alike = docs.filter(doc => content(doc) === content(reference)).length
  return { updates: log.map(encode), echoes: echoes.map(encode), snapshots, alike, state: encode(Y.encodeStateAsUpdate(reference)) }
}

const compare = ({ update, base }) => {
  const doc = new Y.Doc()
  if (base !== undefined) Y.applyUpdate(doc, decode(base))
  Y.applyUpdate(doc, decode(update))
  if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null) return { error: 'something is pending' }
  for (const of of [content, deletions, doc => encode(Y.encodeStateVector(doc))]) {
    if (of(doc) !== of(reference)) return { error: `got ${of(doc)}, expected ${of(reference)}` }
  }
  return { ok: true, yjs: Y.encodeStateAsUpdate(doc).length }
}

const read = ({ update, name, type }) => {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, decode(update))
  return { text: type === 'xml' ? doc.getXmlFragment(name).toString() : doc.getText(name).toString() }
}

// The effect of a hostile update on members, as a dump of a document without a schema.
const value = content => {
  if (content instanceof Y.ContentType) return dump(content.type)
  if (content instanceof Y.ContentDoc) return { doc: content.doc.guid }
  return content.getContent()
}

const dump = type => {
  const list = []
  for (let item = type._start; item !== null; item = item.right) {
    // Members clean formats up that say nothing, which is an edit of their own.
    if (item.deleted || item.content instanceof Y.ContentFormat) continue
    const one = value(item.content)
    Array.isArray(one) ? list.push(...one) : list.push(one)
  }
  const map = {}
  for (const [key, item] of type._map) if (!item.deleted) map[key] = value(item.content)
  // Members agree on the order of elements only if each was inserted between neighbours. Whether it was, a relay cannot
  // tell; what is in the document, it can.
  return { list: list.map(one => JSON.stringify(one, ordered)).sort(), map }
}

const whole = doc => JSON.stringify(
  [Object.fromEntries([...doc.share].map(([name, type]) => [name, dump(type)]).filter(([, d]) => d.list.length > 0 || Object.keys(d.map).length > 0)),
    [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort()],
  ordered)

// Everything that members may do with what they have: observing, reading, deleting all of it, and handing it on.
const use = doc => {
  const handed = replica([Y.encodeStateAsUpdate(doc)])
  if (whole(handed) !== whole(doc)) throw new Error(`handed on: ${whole(handed)}, had ${whole(doc)}`)
  doc.transact(transaction => {
    for (const type of doc.share.values()) {
      for (let item = type._start; item !== null; item = item.right) item.delete(transaction)
      for (const item of type._map.values()) item.delete(transaction)
    }
  })
  replica([Y.encodeStateAsUpdate(doc)])
}

const member = () => {
  const doc = new Y.Doc()
  doc.getText('t').observeDeep(events => events.forEach(event => event.changes))
  doc.getMap('m').observeDeep(events => events.forEach(event => event.changes))
  return doc
}

// `updates` in the order in which they were relayed, and all of them as one; `states` of some moments: how many updates each holds, and its bytes.
const hostile = ({ updates, merged, states }) => {
  const docs = []
  const add = (name, parts) => {
    const doc = member()
    try {
      for (const part of parts) Y.applyUpdate(doc, part)
    } catch (error) {
      throw new Error(`${name} throws: ${error.stack}`)
    }
    if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null) throw new Error(`${name}: something is pending`)
    docs.push([name, doc])
  }
  const relayed = updates.map(decode)
  add('live', relayed)
  add('merged', [decode(merged)])
  for (const [known, state] of states) add(`joined after ${known}`, [decode(state), ...relayed.slice(known)])
  const seen = docs.map(([name, doc]) => [name, whole(doc)])
  const apart = seen.find(([, content]) => content !== seen[0][1])
  for (const [name, doc] of docs) {
    try {
      use(doc)
    } catch (error) {
      throw new Error(`${name}, used: ${error.stack}`)
    }
  }
  return apart === undefined ? { ok: true } : { apart: `${apart[0]} has ${apart[1]}, live ${seen[0][1]}` }
}

const operations = { generate, hostile, compare, read, merge: ({ updates }) => ({ update: encode(Y.mergeUpdates(updates.map(decode))) }) }

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  let answer
  try {
    answer = operations[request.op](request)
  } catch (error) {
    answer = { error: String(error.stack) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
