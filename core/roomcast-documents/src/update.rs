//! Updates of members, and their recipients.
//!
//! Owns: the verdict on an update and what follows from it. Must never know: what is in an update.

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_yjs::{ProtocolMessage, Source, Verdict};

use crate::machine::Documents;
use crate::output::{Output, Relay};
use crate::vocabulary::{Access, Brings, DocumentId, Form, Resync, Taken};
use crate::work::{Space, Terms, Trial};
use crate::work_queue::{QueuedUpdate, UpdateFrom};

impl<M: Copy + Ord> Documents<M> {
    /// A member has sent an update. Updates of clients that are not in the document are ignored.
    ///
    /// What takes long is tried elsewhere ([`poll_work`](Self::poll_work)), and so is what the member sends behind it.
    pub fn handle_update(&mut self, document: DocumentId, id: M, update: Bytes, brings: Brings, now: Instant) -> Taken {
        let taken = self.take_update(document, (id, update, brings), UpdateFrom::Application, now);
        self.advance(document, now);
        taken
    }

    /// Tries an update at once if that is soon done, and puts it behind the others otherwise.
    pub(crate) fn take_update(
        &mut self,
        document: DocumentId,
        (member, update, brings): (M, Bytes, Brings),
        from: UpdateFrom<M>,
        now: Instant,
    ) -> Taken {
        let (config, terms) = (self.config, self.terms(document, member));
        let (Some(live), Some(terms)) = (self.live_mut(document), terms) else { return Taken::Refused };
        if terms.access == Access::Write && matches!(from, UpdateFrom::Application) && !live.may_begin(now) {
            return self.too_early(document, member, &update, now);
        }
        let Some(live) = self.live_mut(document) else { return Taken::Refused };
        let queued = QueuedUpdate { member, update, brings, from, terms };
        if live.is_quick(&queued.update, &config) && !live.work_queue.holds(member) {
            let trial = Trial::of(&mut live.document, &queued.update, terms);
            return self.tried(document, queued, trial, now);
        }
        // A reader's browser sends back what it gets. What is too long to be looked at is no news from it.
        if terms.access == Access::Read && queued.update.len() > config.limits.update_bytes_max {
            self.counters.updates_refused += 1;
            return Taken::Refused;
        }
        match live.work_queue.put(queued, config.waiting_bytes_max) {
            Ok(()) => {
                self.counters.updates_delayed += 1;
                Taken::Later
            }
            Err(queued) => self.no_room(document, queued.member, now),
        }
    }

    /// There is no room for an update behind others that take long. Its sender brings it again.
    fn no_room(&mut self, document: DocumentId, id: M, now: Instant) -> Taken {
        self.counters.updates_refused += 1;
        match self.live(document).and_then(|live| live.member(id)).map(|member| member.form) {
            Some(Form::Application) => self.ask_resync(document, id),
            Some(Form::Protocol) => self.close(id, now),
            Some(Form::Silent) | None => {}
        }
        Taken::Refused
    }

    /// On what terms an update of a member is tried now.
    pub(crate) fn terms(&self, document: DocumentId, id: M) -> Option<Terms> {
        // A log that others write to as well is not given up for a snapshot.
        let is_overfull = self.live(document).is_some_and(|live| live.replica.is_some() && live.journal.is_overfull());
        let is_full = is_overfull || self.bytes >= self.config.documents_bytes_max;
        let room = if is_full { Space::Full } else { Space::Left };
        let member = self.live(document)?.member(id)?;
        Some(Terms { access: member.access, form: member.form, resync: member.resync, room })
    }

    /// An update has been tried on the document.
    pub(crate) fn tried(&mut self, document: DocumentId, queued: QueuedUpdate<M>, trial: Trial, now: Instant) -> Taken {
        let QueuedUpdate { member: id, update, brings, from, terms } = queued;
        match (from, terms.access, terms.room) {
            (UpdateFrom::Pending(held), _, _) => {
                if let Some(news) = trial.news {
                    self.applied(document, id, news, now);
                }
                if let (Verdict::Missing(missing), Some(live)) = (trial.verdict, self.live_mut(document)) {
                    live.pending.put_back(held, missing);
                }
                self.release(document, now);
                Taken::Waits
            }
            (UpdateFrom::Application | UpdateFrom::Provider, Access::Write, Space::Left) => {
                self.take(document, id, (update, brings), terms, trial, now)
            }
            (UpdateFrom::Application | UpdateFrom::Provider, Access::Write, Space::Full) => match trial.verdict {
                Verdict::NothingNew => self.known(),
                Verdict::Applied | Verdict::Missing(_) | Verdict::Bad(_) => {
                    self.counters.refused_full += 1;
                    self.refuse(document, id)
                }
            },
            (UpdateFrom::Application | UpdateFrom::Provider, Access::Read, _) => match trial.verdict {
                // Browsers send everything back that they get.
                Verdict::NothingNew => self.known(),
                Verdict::Applied | Verdict::Missing(_) => self.refuse(document, id),
                Verdict::Bad(_) => {
                    self.handle_bad(document, id, now);
                    Taken::Refused
                }
            },
        }
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

    /// Takes what a member has sent that may write.
    fn take(
        &mut self,
        document: DocumentId,
        id: M,
        (update, brings): (Bytes, Brings),
        terms: Terms,
        trial: Trial,
        now: Instant,
    ) -> Taken {
        let Trial { verdict, is_long, news, rest } = trial;
        let was = terms.resync;
        let is_whole = brings == Brings::Everything || is_long;
        match verdict {
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) if is_whole => {
                if let Some(member) = self.member_mut(document, id) {
                    member.resync = Resync::No;
                }
            }
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
        match verdict {
            Verdict::Applied => {
                self.changed(document, id, news.unwrap_or(update), now);
                Taken::Applied
            }
            Verdict::NothingNew => self.known(),
            Verdict::Missing(missing) => {
                self.counters.updates_held += 1;
                let is_in_parts = rest.is_some();
                let (waits, missing) = rest.unwrap_or((update, missing));
                if let Some(live) = self.live_mut(document).filter(|live| live.member(id).is_some()) {
                    live.pending.hold(id, waits, missing, now);
                }
                if let Some(part) = news {
                    self.changed(document, id, part, now);
                }
                match was {
                    Resync::No if !is_in_parts => self.ask_resync(document, id),
                    Resync::No | Resync::Invited | Resync::Asked => {}
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

    /// A document has changed: others are told, and what waits is tried again.
    fn changed(&mut self, document: DocumentId, id: M, update: Bytes, now: Instant) {
        self.applied(document, id, update, now);
        self.release(document, now);
    }

    /// Tries again what has waited for something that is there now.
    pub(crate) fn release(&mut self, document: DocumentId, now: Instant) {
        let config = self.config;
        let mut quick_bytes_left = RELEASED_BYTES_MAX;
        while let Some(live) = self.live_mut(document)
            && let Some(held) = live.pending.take_ready(live.document.store())
        {
            if quick_bytes_left == 0 || !live.is_quick(&held.update, &config) {
                live.work_queue.put_last(QueuedUpdate {
                    member: held.sender,
                    update: held.update.clone(),
                    brings: Brings::Edit,
                    from: UpdateFrom::Pending(held),
                    terms: OF_HELD,
                });
                continue;
            }
            quick_bytes_left = quick_bytes_left.saturating_sub(held.update.len());
            match live.document.apply(&held.update, Source::Resync) {
                Verdict::Applied => self.applied(document, held.sender, held.update, now),
                Verdict::Missing(missing) => live.pending.put_back(held, missing),
                Verdict::NothingNew | Verdict::Bad(_) => {}
            }
        }
        self.resync_dropped(document, now);
    }

    fn applied(&mut self, document: DocumentId, id: M, update: Bytes, now: Instant) {
        if let Some(live) = self.live_mut(document) {
            live.record(update.clone(), now);
        }
        self.tell_applied(document, Some(id), update);
    }

    /// The document has changed, by a member or by another node: the members are told.
    pub(crate) fn tell_applied(&mut self, document: DocumentId, by: Option<M>, update: Bytes) {
        self.counters.updates_applied += 1;
        let Some(live) = self.live_mut(document) else { return };
        live.whole = None;
        if live.work_queue.at_work.is_some() {
            live.work_queue.since.push(update.clone());
        }
        let kept_out = std::mem::take(&mut live.kept_out);
        let user = by.and_then(|id| live.member(id)).map(|member| member.user.clone()).unwrap_or_default();
        let (mut relay, mut providers) = (Relay::Needless, Vec::new());
        for member in live.members.iter().filter(|member| Some(member.id) != by) {
            match member.form {
                Form::Application => relay = Relay::Wanted,
                Form::Protocol => providers.push(member.id),
                Form::Silent => {}
            }
        }
        let message = (!providers.is_empty()).then(|| ProtocolMessage::Update(&update).encode().into());
        self.counters.frames_encoded += u64::from(relay == Relay::Wanted) + u64::from(message.is_some());
        self.count_bytes(document);
        self.output(Output::Updated { document, by, user, update, relay });
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

/// What was held has been let in before, from a member that might write.
const OF_HELD: Terms = Terms { access: Access::Write, form: Form::Protocol, resync: Resync::Asked, room: Space::Left };
/// Bytes of updates that were held back which are tried at once. The others go to work.
const RELEASED_BYTES_MAX: usize = 32 << 10;
