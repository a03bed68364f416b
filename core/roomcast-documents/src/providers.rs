//! Members by y-protocols: providers, as y-websocket and its relatives speak.
//!
//! Owns: how a provider gets into its document, what it says and hears there, and how it is put out. Must never know:
//! what is in an update, or who grants rights.
//!
//! See [sync](https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md). The server asks with step 1 as well, since
//! only then a provider brings what it did while it was away.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::time::Instant;
use roomcast_yjs::{Heard, ProtocolMessage, Source, StateVector, Verdict};

use crate::document::Owner;
use crate::machine::Documents;
use crate::members::Entered;
use crate::node_message::Says;
use crate::output::{Close, Output};
use crate::provider::{Provider, ProviderStage};
use crate::vocabulary::{Access, Brings, DocumentId, Form, Joining, Taken};
use crate::work_queue::UpdateFrom;

/// Whether a connection takes what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It takes what is sent.
    Free,
    /// What was sent to it piles up: states are sent later, after [`Documents::handle_relieved`].
    Congested,
}

/// Whether a message is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    Now,
    /// It carries an update that takes long. [`Output::Handled`] follows when that has been tried.
    Later,
}

impl<M: Copy + Ord> Documents<M> {
    /// A provider is there, and names a document. Asks by [`Output::Authorize`]; what it says meanwhile is kept.
    pub fn handle_opened(&mut self, member: M, name: ByteString) {
        self.providers.insert(member, Provider::new(name.clone()));
        self.output(Output::Authorize { member, name });
    }

    /// A provider sent a binary message. It counts as dealt with when [`Output::Handled`] says so.
    pub fn handle_message(&mut self, member: M, bytes: Bytes, flow: Flow, now: Instant) {
        let (messages_max, bytes_max) = (self.config.held_messages_max, self.config.held_bytes_max);
        let Some(provider) = self.providers.get_mut(&member) else { return };
        match provider.stage {
            ProviderStage::In(document) => {
                self.counters.states_delayed += u64::from(flow == Flow::Congested && asks_for_state(&bytes));
                let heard = self.hear(document, member, &bytes, flow, now);
                self.advance(document, now);
                match heard {
                    Dealt::Now => {}
                    Dealt::Later => return,
                }
            }
            ProviderStage::Gone => {}
            ProviderStage::Asking | ProviderStage::Loading => {
                let is_full = provider.held.len() >= messages_max || provider.held_bytes + bytes.len() > bytes_max;
                if !is_full {
                    provider.held_bytes += bytes.len();
                    provider.held.push_back(bytes);
                    return;
                }
                self.close(member, now);
            }
        }
        self.output(Output::Handled { member });
    }

    /// A provider sent text, which says nothing in y-protocols.
    pub fn handle_text(&mut self, member: M, now: Instant) {
        self.close(member, now);
        self.output(Output::Handled { member });
    }

    /// What was sent to a provider does not pile up any more.
    pub fn handle_relieved(&mut self, member: M, now: Instant) {
        self.tell_wanted(member);
        if let Some(document) = self.document_of(member) {
            self.advance(document, now);
        }
    }

    /// A provider's connection is gone.
    pub fn handle_closed(&mut self, member: M, now: Instant) {
        let Some(provider) = self.providers.remove(&member) else { return };
        for _ in provider.held {
            self.output(Output::Handled { member });
        }
        if let Some(document) = provider.stage.document() {
            self.leave(document, member, now);
        }
    }

    /// A provider may join: the answer to [`Output::Authorize`].
    pub fn let_in(&mut self, member: M, user: ByteString, access: Access, now: Instant) {
        let Some(provider) = self.providers.get_mut(&member) else { return };
        if provider.stage != ProviderStage::Asking {
            return;
        }
        provider.stage = ProviderStage::Loading;
        let name = provider.name.clone();
        let joining = Joining { member, user, access, form: Form::Protocol };
        match self.enter(&name, joining.clone(), now) {
            Entered::Now(document) => {
                self.admit(document, joining, now);
            }
            Entered::Later => {}
        }
    }

    /// A provider may not be in its document, or not any more: it is told so, and closed with a code after which stock
    /// providers stay away.
    pub fn deny(&mut self, member: M, now: Instant) {
        self.send(member, &ProtocolMessage::PermissionDenied(MAY_NOT_READ));
        self.end(member, Close::Denied, now);
    }

    /// Closes a provider's connection. It leaves its document at once.
    pub fn close(&mut self, member: M, now: Instant) {
        self.end(member, Close::Again, now);
    }

    /// Whether a provider is there, let in or not.
    pub fn is_provider(&self, member: M) -> bool {
        self.providers.contains_key(&member)
    }

    /// The document that a provider is in.
    pub fn document_of(&self, provider: M) -> Option<DocumentId> {
        self.providers.get(&provider)?.stage.document()
    }

    /// Whether a provider was let in and waits for its document.
    pub(crate) fn is_awaited(&self, provider: M) -> bool {
        self.providers.get(&provider).is_some_and(|provider| match provider.stage {
            ProviderStage::Loading | ProviderStage::In(_) => true,
            ProviderStage::Asking | ProviderStage::Gone => false,
        })
    }

    /// A provider is in: it is asked what it has, told who is where, and heard with what it has said already.
    pub(crate) fn greet(&mut self, document: DocumentId, member: M, now: Instant) {
        let Some(provider) = self.providers.get_mut(&member) else { return };
        provider.stage = ProviderStage::In(document);
        let held = std::mem::take(&mut provider.held);
        provider.held_bytes = 0;
        self.ask_step_1(document, member);
        self.tell_states(document, member);
        for bytes in held {
            // However often it has asked, it is told once.
            match self.hear(document, member, &bytes, Flow::Congested, now) {
                Dealt::Now => self.output(Output::Handled { member }),
                Dealt::Later => {}
            }
        }
        self.tell_wanted(member);
    }

    /// Step 1: a provider answers with all that it knows beyond this.
    pub(crate) fn ask_step_1(&mut self, document: DocumentId, member: M) {
        if let Some(live) = self.live_mut(document) {
            let vector = live.document.state_vector();
            self.send(member, &ProtocolMessage::SyncStep1(&vector));
        }
    }

    /// An awareness update of this node's providers, for every provider.
    pub(crate) fn tell_awareness(&mut self, document: DocumentId, update: &[u8]) {
        self.tell_awareness_here(document, update);
        self.publish(document, Says::Awareness(Bytes::copy_from_slice(update)));
    }

    /// An awareness update for every provider of this node.
    pub(crate) fn tell_awareness_here(&mut self, document: DocumentId, update: &[u8]) {
        let Some(live) = self.live(document) else { return };
        let to = live.providers();
        if !to.is_empty() {
            self.output(Output::Send { to, message: ProtocolMessage::Awareness(update).encode().into() });
        }
    }

    pub(crate) fn deny_write(&mut self, member: M) {
        self.send(member, &ProtocolMessage::PermissionDenied(MAY_NOT_WRITE));
    }

    fn hear(&mut self, document: DocumentId, member: M, bytes: &Bytes, flow: Flow, now: Instant) -> Dealt {
        match ProtocolMessage::decode(bytes) {
            Ok(ProtocolMessage::SyncStep1(vector)) => match StateVector::decode(vector) {
                Ok(known) => match flow {
                    Flow::Free => self.tell_step_2(document, member, known),
                    Flow::Congested => {
                        if let Some(provider) = self.providers.get_mut(&member) {
                            provider.wanted_state = Some(known);
                        }
                    }
                },
                Err(_) => self.handle_bad(document, member, now),
            },
            Ok(ProtocolMessage::SyncStep2(update)) => {
                return self.write(document, member, update, Brings::Everything, now);
            }
            Ok(ProtocolMessage::Update(update)) => return self.write(document, member, update, Brings::Edit, now),
            Ok(ProtocolMessage::Awareness(update)) => self.announce(document, member, update, now),
            Ok(ProtocolMessage::QueryAwareness) => match flow {
                Flow::Free => self.tell_states(document, member),
                Flow::Congested => {
                    if let Some(provider) = self.providers.get_mut(&member) {
                        provider.wants_awareness = true;
                    }
                }
            },
            // Nothing that a client has to say.
            Ok(ProtocolMessage::PermissionDenied(_)) => {}
            Err(_) => self.handle_bad(document, member, now),
        }
        Dealt::Now
    }

    fn write(&mut self, document: DocumentId, member: M, update: &[u8], brings: Brings, now: Instant) -> Dealt {
        let quick_bytes_max = self.config.quick_update_bytes_max;
        let Some(live) = self.live(document) else { return Dealt::Now };
        let Some(access) = live.member(member).map(|member| member.access) else { return Dealt::Now };
        if access == Access::Write && live.is_unbegun() {
            // What is long is no echo of an empty document.
            let is_long = update.len() > quick_bytes_max;
            match if is_long { None } else { Some(live.document.check(update, Source::Whole)) } {
                Some(Verdict::NothingNew) => {}
                Some(Verdict::Applied | Verdict::Missing(_)) | None => self.keep_out(document, member),
                Some(Verdict::Bad(_)) => self.handle_bad(document, member, now),
            }
            return Dealt::Now;
        }
        let update = Bytes::copy_from_slice(update);
        match self.take_update(document, (member, update, brings), UpdateFrom::Provider, now) {
            Taken::Later => Dealt::Later,
            Taken::Applied | Taken::Known | Taken::Waits | Taken::Refused => Dealt::Now,
        }
    }

    fn announce(&mut self, document: DocumentId, member: M, update: &[u8], now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        let Some(user) = live.member(member).map(|member| member.user.clone()) else { return };
        let owner = if user.is_empty() { Owner::Member(member) } else { Owner::User(user) };
        match live.awareness.handle_update(member, &owner, update, now) {
            // The sender too: a provider that hears nothing for a while takes the connection for dead.
            Ok(Heard::All) => self.tell_awareness(document, update),
            Ok(Heard::Part(part)) => self.tell_awareness(document, &part),
            Ok(Heard::Nothing) => {}
            Err(_) => self.handle_bad(document, member, now),
        }
    }

    /// A document does not begin with what a provider writes. The provider keeps it, and is asked for it later.
    pub(crate) fn keep_out(&mut self, document: DocumentId, member: M) {
        self.counters.updates_refused += 1;
        let is_provider = self.is_provider(member);
        let Some(live) = self.live_mut(document) else { return };
        if !live.kept_out.contains(&member) {
            live.kept_out.push(member);
            if is_provider {
                self.send(member, &ProtocolMessage::PermissionDenied(NOT_BEGUN));
            }
        }
    }

    /// Tells a provider what it has asked for since: one state for all of its requests.
    fn tell_wanted(&mut self, member: M) {
        let Some(provider) = self.providers.get_mut(&member) else { return };
        let (wanted, wants_awareness) = (provider.wanted_state.take(), std::mem::take(&mut provider.wants_awareness));
        let Some(document) = provider.stage.document() else { return };
        if let Some(known) = wanted {
            self.tell_step_2(document, member, known);
        }
        if wants_awareness {
            self.tell_states(document, member);
        }
    }

    fn tell_states(&mut self, document: DocumentId, member: M) {
        let Some(live) = self.live(document) else { return };
        let elsewhere = live.replica.as_ref().and_then(|replica| replica.awareness.state());
        for state in live.awareness.state().into_iter().chain(elsewhere) {
            self.send(member, &ProtocolMessage::Awareness(&state));
        }
    }

    fn end(&mut self, member: M, close: Close, now: Instant) {
        let Some(provider) = self.providers.get_mut(&member) else { return };
        let document = provider.stage.document();
        if std::mem::replace(&mut provider.stage, ProviderStage::Gone) == ProviderStage::Gone {
            return;
        }
        for _ in std::mem::take(&mut provider.held) {
            self.output(Output::Handled { member });
        }
        if let Some(document) = document {
            self.leave(document, member, now);
        }
        self.output(Output::Close { member, close });
    }

    fn send(&mut self, member: M, message: &ProtocolMessage<'_>) {
        self.output(Output::Send { to: vec![member], message: message.encode().into() });
    }
}

fn asks_for_state(bytes: &[u8]) -> bool {
    matches!(ProtocolMessage::decode(bytes), Ok(ProtocolMessage::SyncStep1(_) | ProtocolMessage::QueryAwareness))
}

const MAY_NOT_READ: &str = "permission-denied";
const MAY_NOT_WRITE: &str = "read-only";
const NOT_BEGUN: &str = "the document has not begun yet";
