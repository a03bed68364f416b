//! How members get into a document and out of it.
//!
//! Owns: entering, rights, leaving. Must never know: who grants a right, or how a member receives anything.

use bytestring::ByteString;
use roomcast_core::time::Instant;

use crate::document::{Idle, Member, Stage};
use crate::machine::{Documents, Pace};
use crate::output::{NotLoaded, Output};
use crate::question::DocumentQuestion;
use crate::vocabulary::{Access, Beginning, DocumentId, Form, Joining, Resync};

/// Whether a document is there for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is loaded: let the member in by [`Documents::admit`].
    Now(DocumentId),
    /// It is being loaded. [`Output::Loaded`] or [`Output::NotLoaded`] will name the member.
    Later,
}

/// Whether a member was in the document before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is in from now on.
    New,
    /// It was, and has been invited once more to say what it has.
    Already,
    /// There is no such document, or the provider is gone.
    No,
}

impl<M: Copy + Ord> Documents<M> {
    /// A member wants into a document, and may. Loads the document if it is not in memory.
    pub fn enter(&mut self, name: &ByteString, joining: Joining<M>, now: Instant) -> Entered {
        let document = match self.named(name) {
            Some(document) => document,
            None => {
                if !self.make_room(now) {
                    self.refuse_load(name.clone(), NotLoaded::Full, vec![joining], now);
                    return Entered::Later;
                }
                let document = self.insert(name.clone());
                self.output(Output::Ask { document, question: DocumentQuestion::Load { document: name.clone() } });
                document
            }
        };
        if let Some(Stage::Loading(waiting)) = self.documents.get_mut(document).map(|open| &mut open.stage) {
            waiting.push(joining);
            return Entered::Later;
        }
        Entered::Now(document)
    }

    /// Lets a member into a loaded document. A provider is greeted: asked what it has, told who is there, and heard with
    /// what it has said already. Members of the other forms are told the state by the owner.
    pub fn admit(&mut self, document: DocumentId, joining: Joining<M>, now: Instant) -> Admitted {
        let Joining { member: id, user, access, form } = joining;
        if form == Form::Protocol && !self.is_awaited(id) {
            return Admitted::No;
        }
        self.set_access(document, id, access);
        let pace = self.pace;
        let Some(live) = self.live_mut(document) else { return Admitted::No };
        let comes_back = live.members.is_empty() && live.left_at > Instant::default();
        let admitted = match live.member_mut(id) {
            Some(member) => {
                member.resync = Resync::Invited;
                Admitted::Already
            }
            None => {
                let user = user.clone();
                live.members.push(Member { id, user, access, form, resync: Resync::Invited, bad_updates: 0 });
                Admitted::New
            }
        };
        live.idle = Idle::No;
        match pace {
            Pace::Spaced => live.journal.reopen(),
            Pace::Hurried | Pace::Final => {}
        }
        self.counters.kept_joins += u64::from(comes_back);
        if form == Form::Protocol {
            self.greet(document, id, now);
        }
        if admitted == Admitted::New {
            self.output(Output::Joined { document, member: id, user });
        }
        self.advance(document, now);
        admitted
    }

    /// Lets a document go on after those who waited for it have been let in: without members it is closed again.
    pub fn settle(&mut self, document: DocumentId, now: Instant) {
        if let Some(live) = self.live_mut(document)
            && live.members.is_empty()
        {
            live.journal.close();
            live.left_at = now;
        }
        self.advance(document, now);
    }

    /// What a member may do from now on.
    pub fn set_access(&mut self, document: DocumentId, member: M, access: Access) {
        if let Some(member) = self.member_mut(document, member) {
            member.access = access;
        }
    }

    /// The member that may write into the document while it is empty.
    pub fn set_beginning(&mut self, document: DocumentId, beginning: Beginning) {
        if let Some(live) = self.live_mut(document) {
            live.beginning = beginning;
        }
    }

    /// A member leaves. What a provider has announced is withdrawn, and the last member closes the document.
    pub fn leave(&mut self, document: DocumentId, id: M, now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        let Some(place) = live.members.iter().position(|member| member.id == id) else { return };
        let member = live.members.remove(place);
        if live.members.len() < live.members.capacity() / 4 {
            live.members.shrink_to(live.members.len() * 2);
        }
        live.pending.forget(id);
        live.kept_out.retain(|provider| *provider != id);
        live.work_queue.forget(id);
        if live.members.is_empty() {
            live.journal.close();
            (live.left_at, live.whole) = (now, None);
        }
        if member.form == Form::Protocol
            && let Some(gone) = live.awareness.withdraw(id, now)
        {
            self.tell_awareness(document, &gone);
        }
        self.output(Output::Left { document, member: id, user: member.user });
        self.advance(document, now);
    }

    /// Forgets a document that has no members and is stored: the answer to [`Output::Idle`]. Returns whether it was
    /// forgotten; if not, it will be idle again.
    pub fn drop_idle(&mut self, document: DocumentId) -> bool {
        let is_idle = self.live(document).is_some_and(|live| live.is_over());
        if is_idle {
            self.release_replica(document);
            self.remove(document);
        } else if let Some(live) = self.live_mut(document) {
            live.idle = Idle::No;
        }
        is_idle
    }

    /// Whether there is room for one more document. Documents without members are offered to be dropped, the one that
    /// was left first before the others.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.bytes < self.config.documents_bytes_max {
            return true;
        }
        let kept = self.documents.iter().filter_map(|(document, open)| {
            let live = open.live()?;
            (live.is_over() && live.idle == Idle::No).then_some((live.left_at, document))
        });
        let mut kept: Vec<(Instant, DocumentId)> = kept.collect();
        kept.sort_unstable();
        let mut freed = 0;
        for (_, document) in kept {
            if self.bytes.saturating_sub(freed) < self.config.documents_bytes_max {
                break;
            }
            if let Some(live) = self.live_mut(document) {
                live.idle = Idle::Told;
                freed += live.counted_bytes;
            }
            self.output(Output::Idle { document });
            self.advance(document, now);
        }
        // What has been offered is dropped as soon as the owner hears of it.
        self.bytes.saturating_sub(freed) < self.config.documents_bytes_max
    }
}
