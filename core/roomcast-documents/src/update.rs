//! What members write, and who receives it.
//!
//! Owns: the verdict on an update and what follows from it. Must never know: what is in an update.

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_yjs::{BadUpdate, Document, Message, Source, StateVector, Verdict};

use crate::document::{Access, DocumentId, Form, Live, Resync};
use crate::machine::Documents;
use crate::output::{Output, Relay};

/// What a member sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brings {
    /// What it has just changed.
    Edit,
    /// All that it has, or all that is new: the answer to being asked, which may be long.
    Everything,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The document has changed.
    Applied,
    /// It brought nothing new.
    Known,
    /// It, or a part of it, waits for something that is missing.
    Waits,
    /// It was refused: it is no update, over a limit, or the member may not write.
    Refused,
}

impl<M: Copy + Ord> Documents<M> {
    /// A member has sent an update. Of those who are not in the document nothing is heard.
    pub fn handle_update(&mut self, document: DocumentId, id: M, update: Bytes, brings: Brings, now: Instant) -> Taken {
        let is_full = self.bytes >= self.config.documents_bytes_max;
        let Some(live) = self.live(document) else { return Taken::Refused };
        let Some(member) = live.member(id) else { return Taken::Refused };
        let taken = match member.access {
            Access::Write if is_full => match live.document.check(&update, Source::Whole) {
                Verdict::NothingNew => self.known(),
                Verdict::Applied | Verdict::Missing(_) | Verdict::Bad(_) => {
                    self.counters.refused_full += 1;
                    self.refuse(document, id)
                }
            },
            Access::Write => self.take(document, id, update, brings, now),
            Access::Read => match live.document.check(&update, Source::Whole) {
                // Browsers send everything back that they get.
                Verdict::NothingNew => self.known(),
                Verdict::Applied | Verdict::Missing(_) => self.refuse(document, id),
                Verdict::Bad(_) => {
                    self.handle_bad(document, id, now);
                    Taken::Refused
                }
            },
        };
        self.advance(document, now);
        taken
    }

    /// Applies an update of the owner's own, which misses nothing, in the name of a member.
    pub fn apply(&mut self, document: DocumentId, id: M, update: Bytes, now: Instant) -> Verdict {
        let Some(live) = self.live_mut(document) else { return Verdict::NothingNew };
        let verdict = live.document.apply(&update, Source::Resync);
        match verdict {
            Verdict::Applied => self.changed(document, id, update, now),
            Verdict::NothingNew => self.counters.updates_known += 1,
            Verdict::Missing(_) | Verdict::Bad(_) => self.counters.updates_refused += 1,
        }
        self.advance(document, now);
        verdict
    }

    /// What a member sent is no update, no message, or over a limit.
    pub fn handle_bad(&mut self, document: DocumentId, id: M, now: Instant) {
        self.counters.updates_refused += 1;
        let bad_updates_max = self.config.bad_updates_max;
        let Some(member) = self.member_mut(document, id) else { return };
        member.bad_updates += 1;
        let (is_enough, form) = (member.bad_updates >= bad_updates_max, member.form);
        match form {
            Form::Application => {
                self.output(Output::Refused { document, member: id });
                if is_enough {
                    self.output(Output::Expelled { member: id });
                }
            }
            Form::Protocol => {
                if is_enough {
                    self.close(id, now);
                }
            }
            Form::Silent => {}
        }
    }

    /// Whose held updates were given up is asked for all that it has; but a member that was asked already and still
    /// sends what builds on nothing is at fault.
    pub(crate) fn resync_dropped(&mut self, document: DocumentId, now: Instant) {
        while let Some(live) = self.live_mut(document)
            && let Some(id) = live.pending.poll_dropped()
        {
            match live.member(id).map(|member| member.resync) {
                None => continue,
                Some(Resync::Asked) => self.handle_bad(document, id, now),
                Some(Resync::No | Resync::Invited) => {}
            }
            self.ask_resync(document, id);
        }
    }

    /// Asks a member for all that it has, after it was told all that there is.
    pub(crate) fn ask_resync(&mut self, document: DocumentId, id: M) {
        let Some(member) = self.member_mut(document, id) else { return };
        member.resync = Resync::Asked;
        let form = member.form;
        self.counters.resyncs += 1;
        match form {
            Form::Application => self.output(Output::Resync { document, member: id }),
            Form::Protocol => self.ask_step_1(document, id),
            Form::Silent => {}
        }
    }

    /// Takes an update of a member that may write.
    fn take(&mut self, document: DocumentId, id: M, update: Bytes, brings: Brings, now: Instant) -> Taken {
        let Some(live) = self.live_mut(document) else { return Taken::Refused };
        let Some((was, form)) = live.member(id).map(|member| (member.resync, member.form)) else {
            return Taken::Refused;
        };
        let everything = everything_from(form);
        let known = known_before(&live.document, was, &update);
        let mut verdict = live.document.apply(&update, Source::Live);
        let is_long = matches!(verdict, Verdict::Bad(BadUpdate::TooLong | BadUpdate::TooManyStructs));
        if is_long && was != Resync::No {
            verdict = live.document.apply(&update, everything);
        } else if is_long && live.document.check(&update, Source::Whole) == Verdict::NothingNew {
            // Browsers send back what they get, however long it is.
            verdict = Verdict::NothingNew;
        }
        let is_whole = brings == Brings::Everything || is_long;
        match verdict {
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) if is_whole => {
                if let Some(member) = live.member_mut(id) {
                    member.resync = Resync::No;
                }
            }
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
        match verdict {
            Verdict::Applied => {
                let update = news(live, known, update);
                self.changed(document, id, update, now);
                Taken::Applied
            }
            Verdict::NothingNew => self.known(),
            Verdict::Missing(missing) => {
                self.counters.updates_held += 1;
                if was != Resync::No && self.take_part(document, id, &update, everything, now) {
                    return Taken::Waits;
                }
                if let Some(live) = self.live_mut(document) {
                    live.pending.hold(id, update, missing, now);
                }
                match was {
                    Resync::No => self.ask_resync(document, id),
                    Resync::Invited | Resync::Asked => {}
                }
                self.resync_dropped(document, now);
                Taken::Waits
            }
            Verdict::Bad(_) => {
                self.handle_bad(document, id, now);
                // Its editor has it all the same, and would stay apart from the others: what is too long for one update
                // may come with everything else.
                match was {
                    Resync::No if is_long => self.ask_resync(document, id),
                    Resync::No | Resync::Invited | Resync::Asked => {}
                }
                Taken::Refused
            }
        }
    }

    /// Takes what can be of an update that misses something, and holds the rest: who brings its whole document brings
    /// what that holds back itself.
    fn take_part(&mut self, document: DocumentId, id: M, update: &Bytes, everything: Source, now: Instant) -> bool {
        let Some(live) = self.live_mut(document) else { return false };
        let Some(split) = live.document.split(update, everything) else { return false };
        let part = Bytes::from(split.now);
        let known = known_before(&live.document, Resync::Asked, &part);
        let verdict = live.document.apply(&part, everything);
        live.pending.hold(id, split.later.into(), split.missing, now);
        match verdict {
            Verdict::Applied => {
                let part = news(live, known, part);
                self.changed(document, id, part, now);
            }
            Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
        self.resync_dropped(document, now);
        true
    }

    /// A document has changed: others are told, and what waits is tried again.
    fn changed(&mut self, document: DocumentId, id: M, update: Bytes, now: Instant) {
        self.applied(document, id, update, now);
        while let Some(live) = self.live_mut(document)
            && let Some(held) = live.pending.take_ready(live.document.store())
        {
            match live.document.apply(&held.update, Source::Resync) {
                Verdict::Applied => self.applied(document, held.sender, held.update, now),
                Verdict::Missing(missing) => live.pending.put_back(held, missing),
                Verdict::NothingNew | Verdict::Bad(_) => {}
            }
        }
        self.resync_dropped(document, now);
    }

    fn applied(&mut self, document: DocumentId, id: M, update: Bytes, now: Instant) {
        self.counters.updates_applied += 1;
        let Some(live) = self.live_mut(document) else { return };
        live.whole = None;
        live.record(update.clone(), now);
        let kept_out = std::mem::take(&mut live.kept_out);
        let user = live.member(id).map(|member| member.user.clone()).unwrap_or_default();
        let (mut relay, mut providers) = (Relay::Needless, Vec::new());
        for member in live.members.iter().filter(|member| member.id != id) {
            match member.form {
                Form::Application => relay = Relay::Wanted,
                Form::Protocol => providers.push(member.id),
                Form::Silent => {}
            }
        }
        let message = (!providers.is_empty()).then(|| Message::Update(&update).encode().into());
        self.counters.frames_encoded += u64::from(relay == Relay::Wanted) + u64::from(message.is_some());
        self.count_bytes(document);
        self.output(Output::Updated { document, by: id, user, update, relay });
        if let Some(message) = message {
            self.output(Output::Send { to: providers, message });
        }
        for provider in kept_out {
            self.ask_resync(document, provider);
        }
    }

    fn known(&mut self) -> Taken {
        self.counters.updates_known += 1;
        Taken::Known
    }

    /// Refuses an update that is not wrong in itself.
    fn refuse(&mut self, document: DocumentId, id: M) -> Taken {
        self.counters.updates_refused += 1;
        match self.live(document).and_then(|live| live.member(id)).map(|member| member.form) {
            Some(Form::Application) => self.output(Output::Refused { document, member: id }),
            Some(Form::Protocol) => self.deny_write(id),
            Some(Form::Silent) | None => {}
        }
        Taken::Refused
    }
}

/// The limits of what a member brings that was asked for all that it has. A provider is told what is known and leaves that
/// out; a member of the application may have no word for that, and brings its whole document.
const fn everything_from(form: Form) -> Source {
    match form {
        Form::Application => Source::Whole,
        Form::Protocol | Form::Silent => Source::Resync,
    }
}

/// What is known before a member brings a whole document, of which the others and the log need no more than is new.
/// `None` where that would save nothing.
fn known_before(document: &Document, resync: Resync, update: &Bytes) -> Option<StateVector> {
    match resync {
        Resync::No => None,
        Resync::Invited | Resync::Asked => (update.len() > WHOLE_BYTES_MIN).then(|| document.store().state_vector()),
    }
}

/// What was not known before: the difference, if that is shorter than the whole.
fn news<M>(live: &mut Live<M>, known: Option<StateVector>, whole: Bytes) -> Bytes {
    let difference = known.map(|known| live.document.difference(&known));
    difference.filter(|difference| difference.len() < whole.len()).unwrap_or(whole)
}

/// A shorter one goes to the others as it is.
const WHOLE_BYTES_MIN: usize = 1024;
