//! An application that is documents and nothing else.
//!
//! Owns: [`DocumentsApp`]: providers at one endpoint of a server, the questions about their rights, and their deadlines.
//! Must never know: how rights are decided, or where documents are stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use roomcast_core::rng::Rng;
use roomcast_core::server::{App, AppRequestId, Command, Cx, EndpointId, Event, Handshake, Message, SessionId, Work};
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};
use roomcast_core::websocket::CloseCode;

use crate::config::DocumentsConfig;
use crate::counters::{DocumentCounters, DocumentCounts};
use crate::machine::{Documents, Pace};
use crate::output::{Close, DENIED_CODE, DocumentNotice, Output};
use crate::providers::Flow;
use crate::question::{DocumentAnswer, DocumentQuestion, DocumentStoreError, QuestionKind};
use crate::vocabulary::{Access, DocumentId};
use crate::work::{DocumentWork, Worked};

/// Documents served by y-protocols at one endpoint, as stock providers of y-websocket speak: an [`App`] to be run with a
/// server as a [`Stack`](roomcast_core::server::Stack).
///
/// The path below the endpoint's own is the document's name. Who may join is [asked](AppQuery::Authorize), and so is the
/// store. Events of other endpoints are given back.
#[derive(Debug)]
pub struct DocumentsApp {
    endpoint: EndpointId,
    /// The endpoint's path, which stands in front of a document's name.
    path: String,
    query_timeout: Duration,
    documents: Documents<SessionId>,
    asked: BTreeMap<u64, OpenProvider>,
    deadlines: Fifo<u64>,
    last_query: u64,
    /// What providers came with, until they are let in or closed.
    visitors: BTreeMap<SessionId, Arc<Handshake>>,
    queries: VecDeque<AppQuery>,
    work: VecDeque<Work<AppReply>>,
    responses: VecDeque<(AppRequestId, DocumentsResponse)>,
    notices: VecDeque<DocumentNotice>,
}

#[derive(Debug)]
struct OpenProvider {
    what: OpenWork,
    /// Work has none: it comes to its end by itself.
    deadline: Option<FifoKey>,
}

#[derive(Clone, Copy, Debug)]
enum OpenWork {
    Rights(SessionId),
    Store(DocumentId, QuestionKind),
    Work(DocumentId),
}

/// What the application asks.
#[derive(Clone, Debug)]
pub enum AppQuery {
    /// May this visitor join, and may it write?
    Authorize {
        /// The question's number.
        id: u64,
        /// The provider that wants to join, and the document that it names.
        visitor: Visitor,
    },
    /// A question to the store of documents.
    Store {
        /// The question's number.
        id: u64,
        /// The question.
        question: DocumentQuestion,
    },
}

/// A provider that wants into a document.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The document's name.
    pub document: ByteString,
    /// The request that it came with: its path, query, cookies and other header fields.
    pub request: Arc<Handshake>,
}

impl Visitor {
    /// A parameter of the request's query, percent-decoded: providers of y-websocket put their `params` there.
    pub fn param(&self, name: &str) -> Option<String> {
        self.request.param(name)
    }
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct AppReply {
    /// The question's number.
    pub id: u64,
    /// What the hook or the store says.
    pub answer: ReplyAnswer,
}

/// What was answered.
#[derive(Clone, Debug)]
pub enum ReplyAnswer {
    /// To [`AppQuery::Authorize`].
    Rights(Rights),
    /// To [`AppQuery::Store`].
    Store(Result<DocumentAnswer, DocumentStoreError>),
    /// What was [handed out](App::poll_work) has come to this.
    Worked(Worked),
}

/// What a visitor may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// It may read and write, as this user. Without a name (`""`) each provider is a user of its own: one that has lost its
    /// connection shows its cursor again when the old one has expired, after at most 30 s.
    Write(ByteString),
    /// It may read, as this user.
    Read(ByteString),
    /// It may not join. Stock providers are told so, and do not come back by themselves.
    Denied,
    /// That could not be found out: the provider is closed, and comes back by itself.
    Unknown,
}

/// What other parts of the program ask of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentsRequest {
    /// How much there is now, and totals since startup.
    Figures,
    /// Close the connections of a user in a document, or in all documents.
    Disconnect {
        /// The user, as [`Rights`] named it.
        user: ByteString,
        /// The document's name; `None` for all.
        document: Option<ByteString>,
    },
}

/// The answer to a [`DocumentsRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one for each request, and none is kept")]
pub enum DocumentsResponse {
    /// To [`DocumentsRequest::Figures`].
    Figures(DocumentCounts, DocumentCounters),
    /// How many connections were closed.
    Disconnected(usize),
}

impl DocumentsApp {
    /// Documents at this endpoint of a server, which is a bare WebSocket with paths below its own.
    ///
    /// `seed`: 32 bytes from the operating system's generator.
    pub fn new(endpoint: EndpointId, path: impl Into<String>, config: DocumentsConfig, seed: [u8; 32]) -> Self {
        Self {
            endpoint,
            path: path.into(),
            query_timeout: QUERY_TIMEOUT,
            documents: Documents::new(config, Rng::from_seed(seed).keyed_hash()),
            asked: BTreeMap::new(),
            deadlines: Fifo::new(),
            last_query: 0,
            visitors: BTreeMap::new(),
            queries: VecDeque::new(),
            work: VecDeque::new(),
            responses: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// The documents.
    pub const fn documents(&self) -> &Documents<SessionId> {
        &self.documents
    }

    fn opened(&mut self, session: SessionId, request: Arc<Handshake>, cx: &mut Cx<'_>) {
        let path = request.target().split('?').next().unwrap_or_default();
        let name = path.strip_prefix(self.path.as_str()).map(|name| name.trim_start_matches('/'));
        let name = name.and_then(percent_decoded).filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let Some(name) = name else {
            return close(session, Close::Denied, cx);
        };
        self.visitors.insert(session, request);
        self.documents.handle_opened(session, name.into());
        self.pump(cx);
    }

    /// Carries out what the machine says, until it is quiet.
    fn pump(&mut self, cx: &mut Cx<'_>) {
        self.pump_outputs(cx);
        while let Some((document, work)) = self.documents.poll_work() {
            self.hand_out(document, work);
        }
    }

    fn pump_outputs(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        while let Some(output) = self.documents.poll_output() {
            match output {
                Output::Ask { document, question } => {
                    let what = OpenWork::Store(document, question.asked());
                    let id = self.ask(what, now);
                    self.queries.push_back(AppQuery::Store { id, question });
                }
                Output::Authorize { member, name } => {
                    let Some(request) = self.visitors.remove(&member) else { continue };
                    let id = self.ask(OpenWork::Rights(member), now);
                    let visitor = Visitor { document: name, request };
                    self.queries.push_back(AppQuery::Authorize { id, visitor });
                }
                Output::Loaded { document, waiting } => {
                    for joining in waiting {
                        self.documents.admit(document, joining, now);
                    }
                    self.documents.settle(document, now);
                }
                Output::Idle { document } => {
                    self.documents.drop_idle(document);
                }
                Output::Send { to, message } => {
                    for session in to {
                        cx.command(Command::Send { session, message: Message::Binary(message.clone()) });
                    }
                }
                Output::Handled { member: session } => cx.command(Command::Handled { session }),
                Output::Close { member, close: how } => close(member, how, cx),
                Output::Notice(notice) => self.notices.push_back(notice),
                Output::Publish { .. } => {}
                // Providers are all the members that there are, and the machine closes those who waited in vain.
                Output::State { .. }
                | Output::Taken { .. }
                | Output::NotLoaded { .. }
                | Output::Joined { .. }
                | Output::Updated { .. }
                | Output::Resync { .. }
                | Output::Refused { .. }
                | Output::Expelled { .. }
                | Output::Annotated { .. }
                | Output::Tagged { .. }
                | Output::Renumbered { .. }
                | Output::MayBegin { .. }
                | Output::Left { .. }
                | Output::Stored { .. } => {}
            }
        }
    }

    fn ask(&mut self, what: OpenWork, now: Instant) -> u64 {
        self.last_query += 1;
        let deadline = Some(self.deadlines.arm(now + self.query_timeout, self.last_query));
        self.asked.insert(self.last_query, OpenProvider { what, deadline });
        self.last_query
    }

    fn hand_out(&mut self, document: DocumentId, work: DocumentWork) {
        self.last_query += 1;
        let id = self.last_query;
        self.asked.insert(id, OpenProvider { what: OpenWork::Work(document), deadline: None });
        self.work.push_back(Work::new(move || AppReply { id, answer: ReplyAnswer::Worked(work.run()) }));
    }

    fn answered(&mut self, what: OpenWork, answer: Option<ReplyAnswer>, now: Instant) {
        match (what, answer) {
            (OpenWork::Rights(session), Some(ReplyAnswer::Rights(rights))) => match rights {
                Rights::Write(user) => self.documents.let_in(session, user, Access::Write, now),
                Rights::Read(user) => self.documents.let_in(session, user, Access::Read, now),
                Rights::Denied => self.documents.deny(session, now),
                Rights::Unknown => self.documents.close(session, now),
            },
            (OpenWork::Rights(session), None | Some(ReplyAnswer::Store(_) | ReplyAnswer::Worked(_))) => {
                self.documents.close(session, now);
            }
            (OpenWork::Store(document, asked), Some(ReplyAnswer::Store(answer))) => {
                self.documents.handle_answer(document, asked, answer, now);
            }
            (OpenWork::Work(document), Some(ReplyAnswer::Worked(worked))) => {
                self.documents.handle_worked(document, worked, now);
            }
            (OpenWork::Work(_), None | Some(ReplyAnswer::Rights(_) | ReplyAnswer::Store(_))) => {}
            (OpenWork::Store(document, asked), None | Some(ReplyAnswer::Rights(_) | ReplyAnswer::Worked(_))) => {
                self.documents.handle_answer(document, asked, Err(DocumentStoreError::Unavailable), now);
            }
        }
    }

    fn disconnect(&mut self, user: &str, document: Option<&str>, now: Instant) -> usize {
        let named = |name: &str| document.is_none_or(|document| document == name);
        let open = self.documents.iter().filter(|(_, open)| named(open.name()));
        let members = open.flat_map(|(_, open)| open.members());
        let sessions: Vec<SessionId> = members.filter(|member| &**member.user() == user).map(|m| m.id()).collect();
        for session in &sessions {
            self.documents.deny(*session, now);
        }
        sessions.len()
    }
}

impl App for DocumentsApp {
    type Query = AppQuery;
    type Reply = AppReply;
    type Request = DocumentsRequest;
    type Response = DocumentsResponse;
    type Notice = DocumentNotice;

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is another's goes on, also an event that is new")]
    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Opened { session, endpoint, request } if endpoint == self.endpoint => {
                self.opened(session, request, cx);
                None
            }
            Event::Message { session, message } if self.documents.is_provider(session) => {
                let flow = if cx.server.is_congested(session) { Flow::Congested } else { Flow::Free };
                match message {
                    Message::Binary(bytes) => self.documents.handle_message(session, bytes, flow, cx.now),
                    Message::Text(_) => self.documents.handle_text(session, cx.now),
                }
                self.pump(cx);
                None
            }
            Event::Closed { session, .. } if self.documents.is_provider(session) => {
                self.visitors.remove(&session);
                self.documents.handle_closed(session, cx.now);
                self.pump(cx);
                None
            }
            Event::Relieved { session } if self.documents.is_provider(session) => {
                self.documents.handle_relieved(session, cx.now);
                self.pump(cx);
                None
            }
            _ => Some(event),
        }
    }

    fn handle_reply(&mut self, reply: AppReply, cx: &mut Cx<'_>) {
        if let Some(OpenProvider { what, deadline }) = self.asked.remove(&reply.id) {
            if let Some(deadline) = deadline {
                self.deadlines.cancel(deadline);
            }
            self.answered(what, Some(reply.answer), cx.now);
        }
        self.pump(cx);
    }

    fn handle_request(&mut self, ticket: AppRequestId, request: DocumentsRequest, cx: &mut Cx<'_>) {
        let response = match request {
            DocumentsRequest::Figures => DocumentsResponse::Figures(self.documents.counts(), self.documents.counters()),
            DocumentsRequest::Disconnect { user, document } => {
                DocumentsResponse::Disconnected(self.disconnect(&user, document.as_deref(), cx.now))
            }
        };
        self.responses.push_back((ticket, response));
        self.pump(cx);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(id) = self.deadlines.pop_due(cx.now) {
            if let Some(OpenProvider { what, .. }) = self.asked.remove(&id) {
                self.answered(what, None, cx.now);
            }
        }
        self.documents.handle_timeout(cx.now);
        self.pump(cx);
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_query(&mut self) -> Option<AppQuery> {
        pop(&mut self.queries)
    }

    fn poll_work(&mut self) -> Option<Work<AppReply>> {
        pop(&mut self.work)
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, DocumentsResponse)> {
        pop(&mut self.responses)
    }

    fn poll_notice(&mut self) -> Option<DocumentNotice> {
        pop(&mut self.notices)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.documents.next_deadline(), self.deadlines.next_deadline()].into_iter().flatten().min()
    }

    fn handle_end(&mut self, cx: &mut Cx<'_>) {
        self.documents.set_pace(Pace::Final, cx.now);
        self.pump(cx);
    }

    fn is_settled(&self) -> bool {
        self.documents.unstored().next().is_none() && self.queries.is_empty()
    }
}

fn close(session: SessionId, how: Close, cx: &mut Cx<'_>) {
    let denied = CloseCode::new(DENIED_CODE);
    cx.command(match (how, denied) {
        (Close::Denied, Some(code)) => Command::CloseWith { session, code },
        (Close::Denied | Close::Again, _) => Command::Close { session },
    });
}

/// The next of a queue, which gives back what a burst took.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let next = queue.pop_front();
    if queue.is_empty() {
        queue.shrink_to(QUEUE_KEPT);
    }
    next
}

/// RFC 3986 section 2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// How long a store and the hooks may take.
/// Places of a queue that are kept after a burst.
const QUEUE_KEPT: usize = 64;
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a document's name.
const NAME_BYTES_MAX: usize = 1024;
