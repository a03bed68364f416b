//! Documents read and edited by the program while members are in them, over real sockets.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

#[path = "../../adapter-tokio/tests/common/mod.rs"]
mod sockets;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use roomcast_auth::sign_hs256;
use roomcast_openwebui::query::Reply;
use roomcast_openwebui::{DocumentChange, DocumentRefusal, OpenWebUi, Settings};
use roomcast_stores::documents::yrs::block::ClientID;
use roomcast_stores::documents::yrs::updates::decoder::Decode;
use roomcast_stores::documents::yrs::{
    Doc, GetString, OffsetKind, Options, ReadTxn, Text, Transact, TransactionMut, Update, WriteTxn, XmlElementPrelim,
    XmlFragment, XmlTextPrelim,
};
use roomcast_stores::documents::{ContentError, ContentLimits, DocumentContents, PROSEMIRROR};
use roomcast_stores::{Memory, NoteRow, Rows, Store, UserRow};
use roomcast_tokio::core::server::EndpointId;
use roomcast_tokio::{AppHandle, Builder, Tokio};
use sockets::Client;

#[test]
fn a_member_sees_what_the_server_edits_and_the_server_reads_what_members_write() {
    let server = TestServer::start();
    let documents = DocumentContents::new(server.app.clone());
    let note = documents.of(NOTE).as_user("alice");
    let mut member = Editor::join(server.address);
    assert_eq!(server.block_on(note.text()), Ok(String::new()));
    member.edit(|txn| {
        add_line(txn, "written by a member 😀");
        add_line(txn, "and more");
    });
    assert_eq!(server.block_on(note.text()).unwrap(), "written by a member 😀\nand more");
    for line in ["from the server", "and again"] {
        let edited = server.block_on(note.edit(move |txn| add_line(txn, line))).unwrap();
        assert_eq!(edited.change, DocumentChange::Applied);
        member.hear();
    }
    let expected = "written by a member 😀\nand more\nfrom the server\nand again";
    assert_eq!(server.block_on(note.text()).unwrap(), expected);
    let xml = member.doc.transact().get_xml_fragment(PROSEMIRROR).unwrap().get_string(&member.doc.transact());
    assert!(xml.ends_with("<paragraph>from the server</paragraph><paragraph>and again</paragraph>"), "{xml}");
    let clients = server.block_on(note.read(|txn| txn.state_vector().len())).unwrap();
    assert_eq!(clients, 2, "the server edits as one client of Yjs");
    // Looking is no edit.
    let edited = server.block_on(note.edit(|txn| txn.get_or_insert_text("elsewhere").len(txn))).unwrap();
    assert_eq!((edited.value, edited.change), (0, DocumentChange::NothingNew));
    let refused = server.block_on(documents.of(NOTE).as_user("bob").edit(|txn| add_line(txn, "x")));
    assert_eq!(refused.err(), Some(ContentError::Refused(DocumentRefusal::Forbidden)));
}

#[test]
fn deletions_and_edits_in_the_middle_go_the_same_way() {
    let server = TestServer::start();
    let note = DocumentContents::new(server.app.clone()).of(NOTE);
    let mut member = Editor::join(server.address);
    member.edit(|txn| txn.get_or_insert_text("t").insert(txn, 0, "one 😀 two 😀 three"));
    let edited = server.block_on(note.edit(|txn| {
        let text = txn.get_or_insert_text("t");
        text.remove_range(txn, 11, 3);
        text.remove_range(txn, 0, 4);
        text.insert(txn, 2, " and");
    }));
    assert_eq!(edited.unwrap().change, DocumentChange::Applied);
    member.hear();
    let txn = member.doc.transact();
    assert_eq!(txn.get_text("t").unwrap().get_string(&txn), "😀 and two three");
    assert_eq!(server.block_on(note.text_of("t")).unwrap(), "😀 and two three");
}

#[test]
fn what_breaks_yrs_breaks_one_call_and_the_document_lives_on() {
    let server = TestServer::start();
    let note = DocumentContents::new(server.app.clone()).of(NOTE);
    let mut member = Editor::join(server.address);
    // Nothing is wrong with it, and yrs 0.28 panics where an edit cuts the pair.
    member.edit(|txn| txn.get_or_insert_text("t").insert(txn, 0, "😀"));
    let cut = |txn: &mut TransactionMut<'_>| txn.get_or_insert_xml_fragment("t").remove_range(txn, 0, 1);
    assert_eq!(server.block_on(note.edit(cut)).err(), Some(ContentError::Broken));
    let panics = server.block_on(note.read(|_| -> usize { panic!("by the caller") }));
    assert_eq!(panics, Err(ContentError::Broken));
    assert_eq!(server.block_on(note.text_of("t")).unwrap(), "😀");
    member.edit(|txn| txn.get_or_insert_text("t").insert(txn, 2, "!"));
    let edited = server.block_on(note.edit(|txn| txn.get_or_insert_text("t").insert(txn, 0, "!")));
    assert_eq!(edited.unwrap().change, DocumentChange::Applied);
    member.hear();
    assert_eq!(server.block_on(note.text_of("t")).unwrap(), "!😀!");
    // A child of what can have none, at which yrs stops reading: the server does not keep it.
    member.send(&[1, 2, 9, 0, 8, 1, 1, b'a', 1, 126, 7, 0, 9, 0, 0, 0]);
    assert_eq!(server.block_on(note.text_of("t")).unwrap(), "!😀!");
    member.edit(|txn| txn.get_or_insert_text("t").insert(txn, 0, "still here "));
    let other = Editor::join(server.address);
    assert!(!other.state.is_empty());
}

#[test]
fn what_never_ends_is_not_waited_for() {
    let server = TestServer::start();
    let limits = ContentLimits {
        deadline: Duration::from_millis(50),
        threads_max: 1,
        waiting_max: 0,
        ..ContentLimits::default()
    };
    let documents = DocumentContents::with_limits(server.app.clone(), limits);
    let note = documents.of(NOTE);
    let (release, held) = mpsc::channel::<()>();
    let (done, ended) = mpsc::channel();
    let hangs = server.block_on(note.edit(move |txn| {
        add_line(txn, "too late");
        assert!(held.recv().is_err(), "until the test lets it go");
        done.send(()).unwrap();
    }));
    assert_eq!(hangs.err(), Some(ContentError::Overdue));
    assert_eq!(server.block_on(note.text()).err(), Some(ContentError::Busy), "its thread is not free");
    drop(release);
    ended.recv().unwrap();
    let others = DocumentContents::new(server.app.clone()).of(NOTE);
    assert_eq!(server.block_on(others.text()), Ok(String::new()), "what came late was not sent");
    let short = ContentLimits { state_bytes_max: 1, ..limits };
    let documents = DocumentContents::with_limits(server.app.clone(), short);
    assert_eq!(server.block_on(documents.of(NOTE).text()), Err(ContentError::TooLong));
}

struct TestServer {
    runtime: tokio::runtime::Runtime,
    app: AppHandle<OpenWebUi>,
    address: SocketAddr,
}

impl TestServer {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, app) = runtime.block_on(async {
            let settings = Settings::new(EndpointId::new(0), SECRET).unwrap();
            let store = Memory::new(rows());
            let app = OpenWebUi::new(settings, [1; 32]);
            let builder = Builder::with_app(app, move |query| {
                let store = store.clone();
                async move { Reply { id: query.id, result: store.ask(query.question).await } }
            });
            let builder = builder.socket_io("/ws/socket.io", |io| io.namespace("/", |_| {}));
            let (server, app) = builder.start_with_app(Tokio).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(server.serve(listener));
            (address, app)
        });
        Self { runtime, app, address }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// A member of the document, with an editor.
struct Editor {
    client: Client,
    doc: Doc,
    /// As it was on joining.
    state: Vec<u8>,
}

impl Editor {
    fn join(address: SocketAddr) -> Self {
        let mut client = Client::open(address, "/ws/socket.io/").joined("40", "40{");
        let token = sign_hs256(SECRET, r#"{"id":"alice"}"#);
        client.send(&format!(r#"421["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        until(&mut client, "431[");
        client.send(&format!(r#"42["ydoc:document:join",{{"document_id":"{NOTE}"}}]"#));
        let state = bytes(&until(&mut client, r#"42["ydoc:document:state""#), "state");
        let id = ClientID::new(7);
        let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(id) });
        Self { client, doc, state }
    }

    /// Edits, and waits until the server has it.
    fn edit(&mut self, change: impl FnOnce(&mut TransactionMut<'_>)) {
        let update = {
            let mut txn = self.doc.transact_mut();
            change(&mut txn);
            txn.commit();
            txn.encode_update_v1()
        };
        self.send(&update);
    }

    fn send(&mut self, update: &[u8]) {
        let payload = serde_json::json!({ "document_id": NOTE, "update": update });
        self.client.send(&format!(r#"422["ydoc:document:update",{payload}]"#));
        until(&mut self.client, "432[");
    }

    /// Applies the next update of another member.
    fn hear(&mut self) {
        let update = bytes(&until(&mut self.client, r#"42["ydoc:document:update""#), "update");
        self.doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    }
}

/// Reads until a packet that begins so.
fn until(client: &mut Client, start: &str) -> String {
    loop {
        let packet = client.next();
        assert!(!packet.contains(r#"42["error""#), "{packet}");
        if packet.starts_with(start) {
            return packet;
        }
    }
}

fn bytes(packet: &str, field: &str) -> Vec<u8> {
    let (_, payload): (String, serde_json::Value) = serde_json::from_str(&packet[2..]).unwrap();
    serde_json::from_value(payload[field].clone()).unwrap()
}

fn add_line(txn: &mut TransactionMut<'_>, line: &str) {
    let page = txn.get_or_insert_xml_fragment(PROSEMIRROR);
    let paragraph = page.push_back(txn, XmlElementPrelim::empty("paragraph"));
    paragraph.push_back(txn, XmlTextPrelim::new(line));
}

fn rows() -> Rows {
    let mut rows = Rows::default();
    for (id, role) in [("alice", "admin"), ("bob", "user")] {
        rows.users.push(UserRow {
            id: id.into(),
            name: id.into(),
            role: role.into(),
            email: format!("{id}@here.example").into(),
            last_active_at_secs: 0,
        });
    }
    rows.notes.push(NoteRow {
        id: "plan".into(),
        owner: "alice".into(),
        title: "Plan".into(),
        access: Some("{}".into()),
        data: None,
        updated_at_nanos: None,
    });
    rows
}

const SECRET: &[u8] = b"a secret of the tests alone";
const NOTE: &str = "note:plan";
