//! An editor of the front end of 0.12, as its `SocketIOCollaborationProvider` is written.
//!
//! Owns: what it does with each event, acknowledgement and timer. Must never know: the server's machine.
//!
//! What differs from 0.6.41: updates of others are not sent back, content is loaded by a first update whose
//! acknowledgement is what counts, and while that is awaited the user cannot write.

use roomcast_core::time::Instant;
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{Document, DocumentLimits, Source, Verdict, int_array};

use super::super::world::{World, token};
use super::browser::NOTE;

pub struct NewerEditor {
    pub client: usize,
    user: &'static str,
    pub doc: Document,
    /// What the page has loaded of the note by HTTP.
    saved: Option<&'static str>,
    pub is_connected: bool,
    pub is_synced: bool,
    /// The Yjs client that types, and how much it has typed.
    writer: (u8, u32),
    next_client: u8,
    /// When the content as rendered is sent, behind an update of another editor.
    snapshot_at: Option<Instant>,
    next_ack: u32,
    /// What misses something, as Yjs holds it back.
    pending: Vec<Vec<u8>>,
    /// Every event that came.
    pub heard: Vec<String>,
    /// Kinds of updates that it sent: `a` typing, `b` the whole document, `c` a first update, `d` a content alone.
    pub sent: String,
}

impl NewerEditor {
    /// An editor that has loaded this text of the note, and is connected. Its Yjs clients are ten from `client` on.
    pub fn open(world: &mut World, user: &'static str, client: u8, saved: Option<&'static str>) -> Self {
        let mut editor = Self {
            client: 0,
            user,
            doc: Document::new(DocumentLimits::default()),
            saved,
            is_connected: false,
            is_synced: false,
            writer: (client, 0),
            next_client: client + 1,
            snapshot_at: None,
            next_ack: 0,
            pending: Vec::new(),
            heard: Vec::new(),
            sent: String::new(),
        };
        editor.connect(world);
        editor
    }

    /// The token comes with CONNECT, and the join follows at once.
    pub fn connect(&mut self, world: &mut World) {
        self.client = world.connect(&format!(r#"{{"token":"{}"}}"#, token(self.user)));
        self.is_connected = true;
        self.emit(world, "ydoc:document:join", r##","user_id":"x","user_name":"X","user_color":"#FF6B6B""##, None);
    }

    /// The network is gone. The user goes on writing.
    pub fn disconnect(&mut self, world: &mut World) {
        world.leave(self.client);
        (self.is_connected, self.is_synced) = (false, false);
    }

    /// Reads and reacts until there is nothing to read, and sends what is due.
    pub fn pump(&mut self, world: &mut World) {
        loop {
            let packets = if self.is_connected { world.read(self.client) } else { Vec::new() };
            if packets.is_empty() {
                break;
            }
            for packet in packets {
                assert!(world.read_binary(self.client).is_none(), "0.12 is sent arrays alone");
                self.handle(world, &packet);
            }
        }
        if self.snapshot_at.is_some_and(|at| at <= world.now) {
            self.send_snapshot(world);
        }
    }

    fn handle(&mut self, world: &mut World, packet: &str) {
        let start = packet.find('[').unwrap_or(packet.len());
        let Ok(serde_json::Value::Array(values)) = serde_json::from_str(&packet[start..]) else { return };
        let bytes = |value: &serde_json::Value| int_array::decode(value.to_string().as_bytes(), 64 << 20).unwrap();
        if packet.starts_with('3') {
            // Of a first update: what is stored, or nothing.
            if let Some(state) = values.first() {
                self.apply(&bytes(state));
                self.is_synced = true;
                if self.snapshot_at.is_none() {
                    self.send_snapshot(world);
                }
            }
            return;
        }
        let [name, data, ..] = &values[..] else { return };
        self.heard.push(format!("{} {data}", name.as_str().unwrap_or_default()));
        match name.as_str().unwrap_or_default() {
            "ydoc:document:update" => {
                assert_ne!(data["socket_id"], *world.clients[self.client].sid, "its own");
                self.apply(&bytes(&data["update"]));
                self.snapshot_at = Some(world.now + std::time::Duration::from_millis(500));
            }
            "ydoc:document:state" => self.hear_state(world, &bytes(&data["state"]), &data["content"]),
            _ => {}
        }
    }

    fn hear_state(&mut self, world: &mut World, state: &[u8], content: &serde_json::Value) {
        if state != [0, 0] {
            self.apply(state);
        } else if self.is_empty() {
            let content = content["md"].as_str().map(str::to_owned).or_else(|| self.saved.map(str::to_owned));
            if let Some(content) = content {
                return self.initialize(world, &content);
            }
        } else {
            let whole = self.doc.state();
            self.send(world, 'b', &whole, "", None);
        }
        self.is_synced = true;
    }

    /// Its own document of the content is thrown away: the acknowledgement counts.
    fn initialize(&mut self, world: &mut World, content: &str) {
        let client = self.next_client;
        self.next_client += 1;
        self.next_ack += 1;
        self.send(world, 'c', &text_update(client, 0, content), r#","initialize":true"#, Some(self.next_ack));
    }

    /// The user writes, as far as the editor lets it. Whether it did.
    pub fn type_text(&mut self, world: &mut World, text: &str) -> bool {
        if self.is_connected && !self.is_synced {
            return false;
        }
        let (client, clock) = self.writer;
        let update = text_update(client, clock, text);
        self.writer.1 += u32::try_from(text.len()).unwrap();
        assert_eq!(self.doc.apply(&update, Source::Stored), Verdict::Applied);
        if self.is_connected {
            let more = format!(r#","user_id":"x","socket_id":"x","data":{{"content":{}}}"#, self.content());
            self.send(world, 'a', &update, &more, None);
            self.snapshot_at = None;
        }
        true
    }

    fn send_snapshot(&mut self, world: &mut World) {
        self.snapshot_at = None;
        if self.is_connected {
            self.sent.push('d');
            let content = self.content();
            self.emit(world, "ydoc:document:update", &format!(r#","data":{{"content":{content}}}"#), None);
        }
    }

    fn send(&mut self, world: &mut World, kind: char, update: &[u8], more: &str, ack: Option<u32>) {
        self.sent.push(kind);
        let array = String::from_utf8(int_array::encode(update)).unwrap();
        let more = if kind == 'b' { r#","user_id":"x","socket_id":"x""# } else { more };
        self.emit(world, "ydoc:document:update", &format!(r#","update":{array}{more}"#), ack);
    }

    fn emit(&self, world: &mut World, name: &str, more: &str, ack: Option<u32>) {
        let ack = ack.map(|ack| ack.to_string()).unwrap_or_default();
        world.send(self.client, &format!(r#"2{ack}["{name}",{{"document_id":"{NOTE}"{more}}}]"#));
    }

    fn apply(&mut self, update: &[u8]) {
        self.pending.push(update.to_vec());
        let is_ready = |doc: &Document, held: &[u8]| !matches!(doc.check(held, Source::Stored), Verdict::Missing(_));
        while let Some(at) = self.pending.iter().position(|held| is_ready(&self.doc, held)) {
            let held = self.pending.remove(at);
            let verdict = self.doc.apply(&held, Source::Stored);
            assert!(!matches!(verdict, Verdict::Bad(_)), "the server sent {verdict:?}");
        }
    }

    fn is_empty(&mut self) -> bool {
        self.doc.state() == [0, 0][..]
    }

    /// What waits for something that this editor has never been told.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How it renders the document: something that differs whenever the document does.
    pub fn content(&mut self) -> String {
        let vector = String::from_utf8(int_array::encode(&self.doc.state_vector())).unwrap();
        format!(r#"{{"md":"{vector}","html":"<p></p>","json":{{"type":"doc"}}}}"#)
    }
}

/// Lets all editors read and react, and their timers fire, until nothing more happens.
pub fn settle_all(world: &mut World, editors: &mut [NewerEditor]) {
    for _ in 0..6 {
        for _ in 0..3 {
            editors.iter_mut().for_each(|editor| editor.pump(world));
        }
        world.pass_ms(500);
    }
}
