//! A browser of 0.6.41, as far as documents go.
//!
//! Owns: what a front end does with each event. Must never know: the server's machine.

use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{Document, DocumentLimits, Source, Verdict, int_array};

use super::super::world::{World, token};

pub const NOTE: &str = "note:plan";

pub struct Browser {
    pub client: usize,
    pub user: &'static str,
    pub doc: Document,
    id: u8,
    clock: u32,
    /// What misses something, as yjs holds it back.
    pending: Vec<Vec<u8>>,
    /// Whether it sends everything back that it gets.
    pub echoes: bool,
    pub seeds: bool,
    /// Every `ydoc:*` and `error` event, less its byte arrays.
    pub events: Vec<String>,
    /// `ydoc:document:update`s that came.
    pub updates: usize,
}

impl Browser {
    /// A user with a session that has not joined any document.
    pub fn new(world: &mut World, user: &'static str) -> Self {
        let client = world.join(user);
        let id = u8::try_from(client + 1).unwrap();
        Self {
            client,
            user,
            doc: Document::new(DocumentLimits::default()),
            id,
            clock: 0,
            pending: Vec::new(),
            echoes: true,
            seeds: true,
            events: Vec::new(),
            updates: 0,
        }
    }

    /// A user whose editor is in the document.
    pub fn open(world: &mut World, user: &'static str) -> Self {
        let mut browser = Self::new(world, user);
        browser.join(world);
        browser
    }

    /// A user who opens the document and loads no note into it.
    pub fn look(world: &mut World, user: &'static str) -> Self {
        let mut browser = Self::new(world, user);
        browser.seeds = false;
        browser.join(world);
        browser
    }

    pub fn join(&mut self, world: &mut World) {
        self.emit(
            world,
            "ydoc:document:join",
            r##","user_id":"spoofed","user_name":"Spoofed","user_color":"#4ECDC4""##,
        );
        self.pump(world);
    }

    /// The same editor on a new connection.
    pub fn reconnect(&mut self, world: &mut World) {
        world.leave(self.client);
        self.client = world.join(self.user);
        self.join(world);
    }

    /// Reads and reacts until there is nothing to read.
    pub fn pump(&mut self, world: &mut World) {
        loop {
            let packets = world.read(self.client);
            if packets.is_empty() {
                return;
            }
            for packet in packets {
                let blob = packet.starts_with("51-").then(|| world.read_binary(self.client).expect("an attachment"));
                let json = packet.trim_start_matches("51-").trim_start_matches(|c: char| c.is_ascii_digit());
                let Ok(serde_json::Value::Array(event)) = serde_json::from_str(json) else { continue };
                let [name, payload, ..] = &event[..] else { continue };
                self.handle(world, name.as_str().unwrap_or_default(), payload, blob);
            }
        }
    }

    fn handle(&mut self, world: &mut World, name: &str, payload: &serde_json::Value, blob: Option<Vec<u8>>) {
        let bytes = |field: &str| match &blob {
            Some(blob) => blob.clone(),
            None => int_array::decode(payload[field].to_string().as_bytes(), 64 << 20).unwrap_or_default(),
        };
        self.events.push(format!("{name} {}", strip(payload)));
        match name {
            "ydoc:document:state" => {
                let state = bytes("state");
                let sessions = payload["sessions"].as_array().map_or(1, Vec::len);
                if state == [0, 0] {
                    if self.doc.state() != [0, 0][..] {
                        self.send_whole(world);
                    } else if sessions == 1 && self.seeds {
                        self.type_text(world, "seed ");
                    }
                } else {
                    self.receive(&state);
                }
            }
            "ydoc:document:update" => {
                self.updates += 1;
                let update = bytes("update");
                self.receive(&update);
                if self.echoes {
                    self.send_update(world, &update);
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, update: &[u8]) {
        self.pending.push(update.to_vec());
        while let Some(at) =
            self.pending.iter().position(|held| !matches!(self.doc.check(held, Source::Stored), Verdict::Missing(_)))
        {
            let held = self.pending.remove(at);
            let verdict = self.doc.apply(&held, Source::Stored);
            assert!(!matches!(verdict, Verdict::Bad(_)), "the server sent {verdict:?}");
        }
    }

    /// Edits, and sends it with the content.
    pub fn type_text(&mut self, world: &mut World, text: &str) {
        let update = self.edit(text);
        self.send_update(world, &update);
    }

    /// Edits without a connection.
    pub fn edit(&mut self, text: &str) -> Vec<u8> {
        let update = text_update(self.id, self.clock, text);
        self.clock += u32::try_from(text.len()).unwrap();
        assert_eq!(self.doc.apply(&update, Source::Stored), Verdict::Applied);
        update
    }

    pub fn send_update(&mut self, world: &mut World, update: &[u8]) {
        let array = String::from_utf8(int_array::encode(update)).unwrap();
        let content = self.content();
        let more = format!(r#","user_id":"spoofed","socket_id":"x","update":{array},"data":{{"content":{content}}}"#);
        self.emit(world, "ydoc:document:update", &more);
    }

    /// Sends a content alone.
    pub fn render(&mut self, world: &mut World, content: &str) {
        self.emit(world, "ydoc:document:update", &format!(r#","data":{{"content":{content}}}"#));
    }

    /// What it answers to an empty state: a binary event without content.
    fn send_whole(&mut self, world: &mut World) {
        let state = self.doc.state();
        let more = r#","user_id":"x","socket_id":"x","update":{"_placeholder":true,"num":0}"#;
        let payload = format!(r#"51-["ydoc:document:update",{{"document_id":"{NOTE}"{more}}}]"#);
        world.feed(self.client, &payload);
        world.send_binary(self.client, &state);
    }

    pub fn emit(&mut self, world: &mut World, name: &str, more: &str) {
        world.send(self.client, &format!(r#"2["{name}",{{"document_id":"{NOTE}"{more}}}]"#));
    }

    /// How it renders the document: something that differs whenever the document does.
    pub fn content(&mut self) -> String {
        let vector = String::from_utf8(int_array::encode(&self.doc.state_vector())).unwrap();
        format!(r#"{{"md":"{vector}","html":"<p></p>","json":{{"type":"doc"}}}}"#)
    }

    pub fn has_event(&self, start: &str) -> bool {
        self.events.iter().any(|event| event.starts_with(start))
    }
}

/// Lets every browser read and react, in enough rounds for all exchanges to finish.
pub fn settle(world: &mut World, browsers: &mut [&mut Browser]) {
    for _ in 0..8 {
        for browser in browsers.iter_mut() {
            browser.pump(world);
        }
    }
}

pub fn token_for(user: &str) -> String {
    token(user)
}

fn strip(payload: &serde_json::Value) -> String {
    let mut payload = payload.clone();
    if let Some(object) = payload.as_object_mut() {
        for field in ["update", "state"] {
            if object.get(field).is_some_and(|value| value.to_string().len() > 12) {
                object.remove(field);
            }
        }
    }
    payload.to_string()
}
