// Socket.IO v5 in its exact texts; what closes a connection and what must not.

import assert from "node:assert/strict";
import { SUITE, check, serverForFile, sharedServer, startServer } from "./lib/harness.mjs";
import { Polling, SEPARATOR, Socket } from "./lib/engine.mjs";
import { good } from "./lib/jwt.mjs";

const PATH = "/socket.io/";
const { url } = await sharedServer();
const suite = await serverForFile(SUITE);
const bytes = (...values) => Buffer.from(values);

const transport = (t, target = url) => Socket.session(t, target, PATH, { heartbeat: true });

/** A connection in `/`, past its first two packets. */
async function connect(t, target) {
  const socket = await transport(t, target);
  socket.send("40");
  const [connected] = await socket.many(2, "packets of the connection");
  socket.id = JSON.parse(connected.slice(2)).sid;
  return socket;
}

/** Sends the packets, and wants exactly these back next. */
async function assertAnswered(socket, sent, expected) {
  socket.send(...sent);
  assert.deepEqual(await socket.many(expected.length), expected);
}

const assertAlive = (socket) => assertAnswered(socket, ['427["echo","alive"]'], ['437["alive"]']);

// --- CONNECT ----------------------------------------------------------------------------------------

check("CONNECT is answered with a sid and nothing else, then comes auth", async (t) => {
  for (const [sent, auth] of [["40", "{}"], ["40{}", "{}"], ['40{"token":"123"}', '{"token":"123"}']]) {
    const socket = await transport(t);
    socket.send(sent);
    assert.match(await socket.next(), /^40\{"sid":"[\w-]+"\}$/);
    assert.equal(await socket.next(), `42["auth",${auth}]`);
  }
});

check("CONNECT to another namespace names it in each packet", async (t) => {
  const cases = [["40/custom,", "{}"], ["40/custom", "{}"], ['40/custom,{"token":"abc"}', '{"token":"abc"}']];
  for (const [sent, auth] of cases) {
    const socket = await transport(t);
    socket.send(sent);
    assert.match(await socket.next(), /^40\/custom,\{"sid":"[\w-]+"\}$/);
    assert.equal(await socket.next(), `42/custom,["auth",${auth}]`);
  }
});

check("refusals in their exact texts", async (t) => {
  const socket = await connect(t);
  const refusals = {
    "40/random": '44/random,{"message":"Invalid namespace"}',
    "40/random,": '44/random,{"message":"Invalid namespace"}',
    "40/deny,": '44/deny,{"message":"not authorized","data":{"code":"E_AUTH"}}',
    "40/jwt,": '44/jwt,{"message":"unauthorized"}',
    '40/jwt,{"token":7}': '44/jwt,{"message":"unauthorized"}',
    '40/JWT,{"token":"x"}': '44/JWT,{"message":"Invalid namespace"}',
  };
  for (const [sent, expected] of Object.entries(refusals)) await assertAnswered(socket, [sent], [expected]);
  await assertAlive(socket);
});

check("/jwt?x=1 is no namespace, or /jwt with its rules", async (t) => {
  const socket = await connect(t);
  socket.send("40/jwt?x=1,");
  const answers = ['44/jwt?x=1,{"message":"Invalid namespace"}', '44/jwt,{"message":"unauthorized"}', '44/jwt?x=1,{"message":"unauthorized"}'];
  const answer = await socket.next();
  assert.ok(answers.includes(answer), answer);
});

check("/jwt names the subject alone", async (t) => {
  const socket = await transport(t);
  socket.send(`40/jwt,${JSON.stringify({ token: good() })}`);
  assert.match(await socket.next(), /^40\/jwt,\{"sid":"[\w-]+"\}$/);
  assert.equal(await socket.next(), '42/jwt,["auth",{"sub":"ada"}]');
});

check("ids differ from namespace to namespace and from the session's", async (t) => {
  const socket = await connect(t);
  const ids = [socket.handshake.sid, socket.id];
  for (const nsp of ["/custom", "/dyn-1", "/dyn-2"]) {
    socket.send(`40${nsp},`);
    ids.push(JSON.parse((await socket.next()).slice(nsp.length + 3)).sid);
    await socket.next("auth");
  }
  assert.equal(new Set(ids).size, 5);
});

check("without CONNECT the connection is closed in time, with it not", async (t) => {
  const [silent, speaking] = [await transport(t, suite.url), await transport(t, suite.url)];
  const polling = await Polling.open(suite.url, PATH);
  speaking.send("40/custom");
  await silent.closed();
  await speaking.many(2);
  await assert.rejects(polling.packets(1), /answered with 400|after 0 packets/);
  speaking.send('42/custom,["message",1]');
  assert.equal(await speaking.next(), '42/custom,["message-back",1]');
});

check("a refused CONNECT does not count as one", async (t) => {
  const socket = await transport(t, suite.url);
  socket.send("40/random");
  await socket.next("refusal");
  await socket.closed();
});

// --- events and acks --------------------------------------------------------------------------------

const EXACT = {
  "plain arguments": [['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']],
  "no arguments": [['42["message"]'], ['42["message-back"]']],
  "an ack": [['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']],
  "an ack of nothing": [['420["message-with-ack"]'], ["430[]"]],
  "attachments": [
    ['452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', bytes(1, 2, 3), bytes(4, 5, 6)],
    ['452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
  "an ack with attachments": [
    ['452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', bytes(1, 2, 3), bytes(4, 5, 6)],
    ['462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
  "an empty attachment, deep": [
    ['451-["message",{"a":[[{"b":{"_placeholder":true,"num":0}}]]}]', bytes()],
    ['451-["message-back",{"a":[[{"b":{"_placeholder":true,"num":0}}]]}]', bytes()],
  ],
  "escapes and Unicode": [['42["message","€𝄞\u2028\\n\\\\\\"",""]'], ['42["message-back","€𝄞\u2028\\n\\\\\\"",""]']],
  "keys in the order received": [['42["message",{"z":1,"a":2,"é":3}]'], ['42["message-back",{"z":1,"a":2,"é":3}]']],
  "ack of whoami, join, leave": [
    ['421["join","r"]', '422["leave","r"]', '423["join",7]', '424["room-cast","r"]'],
    ['431["joined","r"]', '432["left","r"]', '433["error"]', '434["denied"]'],
  ],
  "a room-cast with attachments": [
    ['421["join","r"]', '451-2["room-cast","r",{"_placeholder":true,"num":0}]', bytes(9)],
    ['431["joined","r"]', '451-["room-event","r",{"_placeholder":true,"num":0}]', bytes(9), '432["sent"]'],
  ],
};

for (const [name, [sent, expected]] of Object.entries(EXACT)) {
  check(`exactly: ${name}`, async (t) => assertAnswered(await connect(t), sent, expected));
}

check("keys that look like numbers keep their order, and large numbers their digits", async (t) => {
  const args = '{"10":1,"2":2},12345678901234567890,0.1e-6';
  await assertAnswered(await connect(t), [`42["message",${args}]`], [`42["message-back",${args}]`]);
});

check("in a namespace, events and acks name it", async (t) => {
  const socket = await connect(t);
  socket.send("40/custom,");
  await socket.many(2);
  await assertAnswered(socket, ['42/custom,["message",1]', '42/custom,12["echo",2]'], ['42/custom,["message-back",1]', "43/custom,12[2]"]);
  const sent = ['451-/custom,3["echo",{"_placeholder":true,"num":0}]', bytes(1)];
  await assertAnswered(socket, sent, ['461-/custom,3[{"_placeholder":true,"num":0}]', bytes(1)]);
});

check("the server asks with an id of its own, and hears the answer once", async (t) => {
  const socket = await connect(t);
  socket.send('42["ask",1,{"a":[]}]');
  const [, id] = /^42(\d+)\["ask",1,\{"a":\[\]\}\]$/.exec(await socket.next());
  await assertAnswered(socket, [`43${id}["yes",2]`], ['42["ask-result","yes",2]']);
  socket.send(`43${id}["again"]`);
  await assertAlive(socket);
});

check("an answer with attachments reaches the asker whole", async (t) => {
  const socket = await connect(t);
  socket.send('42["ask"]');
  const [, id] = /^42(\d+)\["ask"\]$/.exec(await socket.next());
  const answer = '{"_placeholder":true,"num":0}';
  await assertAnswered(socket, [`461-${id}[${answer}]`, bytes(5)], [`451-["ask-result",${answer}]`, bytes(5)]);
});

check("by polling the texts are the same, and attachments are base64", async () => {
  const session = await Polling.open(url, PATH);
  await session.post("40");
  const [connected, auth] = await session.packets(2);
  assert.match(connected, /^40\{"sid":"[\w-]+"\}$/);
  assert.equal(auth, '42["auth",{}]');
  await session.post('42["message",1]', '451-7["echo",{"_placeholder":true,"num":0}]', "bAQID", '42["message",2]');
  const expected = ['42["message-back",1]', '461-7[{"_placeholder":true,"num":0}]', "bAQID", '42["message-back",2]'];
  assert.deepEqual(await session.packets(4), expected);
});

check("a burst by polling comes at most 16 packets at a time, in order", async () => {
  const session = await Polling.open(url, PATH);
  await session.post("40");
  await session.packets(2);
  await session.post('42["burst",100]');
  const back = [];
  while (back.length < 100) {
    const packets = (await session.get()).body.split(SEPARATOR);
    assert.ok(packets.length <= 16, `${packets.length} packets in one answer`);
    back.push(...packets);
  }
  assert.deepEqual(back, Array.from({ length: 100 }, (_, i) => `42["seq",${i}]`));
});

check("with LOAD=1, join and broadcast answer in the dialect of the load generator", async (t) => {
  const server = await startServer({ LOAD: "1" });
  const [sender, member] = [await connect(t, server.url), await connect(t, server.url)];
  for (const socket of [sender, member]) await assertAnswered(socket, ['421["join","r"]'], ['431["ok"]']);
  sender.send('42["broadcast",{"z":1,"a":"é"}]');
  for (const socket of [sender, member]) assert.equal(await socket.next(), '42["msg",{"z":1,"a":"é"}]');
  await server.stop();
});

// --- DISCONNECT -------------------------------------------------------------------------------------

check("41 leaves / and keeps the transport, which may connect again", async (t) => {
  const socket = await Socket.session(t, suite.url, PATH);
  socket.send("40");
  await socket.many(2);
  socket.send("41");
  assert.equal(await socket.next("ping"), "2");
  socket.send("3", "40");
  assert.match(await socket.next(), /^40\{/);
});

check("41/custom leaves / working", async (t) => {
  const socket = await connect(t);
  socket.send("40/custom");
  await socket.many(2);
  socket.send("41/custom", '42["message","to main"]');
  assert.equal(await socket.next(), '42["message-back","to main"]');
});

check("kick false sends 41 for that namespace, kick true ends the connection without one", async (t) => {
  const socket = await connect(t);
  socket.send("40/custom");
  await socket.many(2);
  await assertAnswered(socket, ['42/custom,["kick",false]'], ["41/custom,"]);
  await assertAlive(socket);
  socket.send('42["kick",true]');
  await socket.closed();
  assert.equal(socket.untaken, 0);
});

// --- close that connection only ---------------------------------------------------------------------

const PLACEHOLDER = '{"_placeholder":true,"num":0}';
const MALFORMED = {
  "no packet": ["4"],
  "an unknown type": ["47"],
  "a type that is no digit": ["4abc"],
  "an event without payload": ["42"],
  "an event that is no array": ["42{}"],
  "an event that is a string": ['42"message"'],
  "an event without a name": ["42[]"],
  "an event whose name is an object": ["42[{}]"],
  "an event whose name is null": ["42[null]"],
  "broken JSON": ['42["message"'],
  "JSON and then more": ['42["message"]x'],
  "an ack id that is no number": ['42abc["message-with-ack",1]'],
  "a namespace without its slash": ['42custom,["message"]'],
  "an ack that is no array": ["431{}"],
  "an ack without payload": ["431"],
  "a disconnect with a payload": ["41{}"],
  "a connect whose payload is a string": ['40/custom,"x"'],
  "a connect whose payload is an array": ["40/custom,[]"],
  "a connect with broken JSON": ["40/custom,{"],
  "an attachment count that is no number": ['45x-["message"]'],
  "an attachment count without its dash": [`451["message",${PLACEHOLDER}]`],
  "no attachment count": [`45-["message",${PLACEHOLDER}]`],
  "an absurd attachment count": [`4599999999999999999999-["message",${PLACEHOLDER}]`],
  "a negative attachment count": [`45-1-["message",${PLACEHOLDER}]`],
  "a placeholder out of range": ['451-["message",{"_placeholder":true,"num":1}]', bytes(1)],
  "a negative placeholder": ['451-["message",{"_placeholder":true,"num":-1}]', bytes(1)],
  "a placeholder that is half a number": ['451-["message",{"_placeholder":true,"num":0.5}]', bytes(1)],
  "a placeholder that is a string": ['451-["message",{"_placeholder":true,"num":"0"}]', bytes(1)],
  "a placeholder without number": ['451-["message",{"_placeholder":true}]', bytes(1)],
  "binary without an announcement": [bytes(1, 2, 3)],
  "text in place of an attachment": [`451-["message",${PLACEHOLDER}]`, '42["message"]'],
  "more binary than was announced": [`451-["message",${PLACEHOLDER}]`, bytes(1), bytes(2)],
};

for (const [name, packets] of Object.entries(MALFORMED)) {
  check(`closes that connection only: ${name}`, async (t) => {
    const [bystander, socket] = [await connect(t), await connect(t)];
    socket.send(...packets);
    await socket.closed(5000);
    await assertAlive(bystander);
  });
}

check("closed on 4abc before CONNECT, and on a POST of it", async (t) => {
  const socket = await transport(t);
  socket.send("4abc");
  await socket.closed();
  const session = await Polling.open(url, PATH);
  await session.post("4abc");
  const { status, body } = await session.get();
  if (status === 200) assert.equal(body.split(SEPARATOR).at(-1), "1");
  assert.equal(status === 200 ? (await session.get()).status : status, 400);
});

// --- stay -------------------------------------------------------------------------------------------

const HARMLESS = {
  "an ack without a request": ["43999[1]", "430[]"],
  "a binary ack without a request": [`461-999[${PLACEHOLDER}]`, bytes(1)],
  "an unknown event, with and without ack": ['42["no such event",1]', '4255["no such event"]'],
  "__proto__": ['42["__proto__",1]', '4255["__proto__"]'],
  "constructor": ['42["constructor",1]', '4255["constructor"]'],
  "hasOwnProperty": ['42["hasOwnProperty",1]', '4255["hasOwnProperty"]'],
  "*": ['42["*",1]', '4255["*"]'],
  "an empty event name": ['42["",1]', '4255[""]'],
  "an object with __proto__ in it": ['42["no such event",{"__proto__":{"polluted":true}}]'],
  "arguments of wrong types": ['42["burst","x"]', '42["typing"]', '42["typing",{},[]]', '42["volatile"]', '42["leave"]', '42["ask"]', '42["flood"]'],
};

for (const [name, packets] of Object.entries(HARMLESS)) {
  check(`stays: ${name}`, async (t) => {
    const socket = await connect(t);
    socket.send(...packets);
    socket.send('427["echo","alive"]');
    for (;;) {
      const packet = await socket.next("answer to the echo");
      if (packet === '437["alive"]') break;
      assert.ok(!packet.startsWith("4355"), `acked: ${packet}`);
    }
  });
}
