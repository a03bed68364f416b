//! What is computed from a document by itself: reading what is stored, trying an update, encoding a state.
//!
//! Owns: [`DocumentWork`], the computation that may run on any thread, and the trial of an update. Must never know: who is
//! in a document, or what becomes of a result.

use std::fmt::{Debug, Formatter};

use bytes::Bytes;
use roomcast_yjs::{BadUpdate, Document, ProtocolMessage, Source, StateVector, Verdict};

use crate::config::DocumentsConfig;
use crate::output::NotLoaded;
use crate::stored::{Opening, ReadDocument, read_stored};
use crate::vocabulary::{Access, Form, Resync};

/// A computation on a document that takes long, to be run on another thread. Its result goes to
/// [`Documents::handle_worked`](crate::Documents::handle_worked).
///
/// It works on a copy that shares memory with the document, which goes on changing meanwhile.
#[derive(Debug)]
pub struct DocumentWork(pub(crate) Task);

#[derive(Debug)]
pub(crate) enum Task {
    /// Read what is stored.
    Read(Opening, DocumentsConfig),
    /// Try an update on a copy.
    Try { document: Document, update: Bytes, terms: Terms },
    /// Add to a copy what another node has written to the log.
    Add { document: Document, update: Bytes },
    /// Add to a copy what was applied since it was taken.
    CatchUp { document: Document, trial: Trial, since: Vec<Bytes> },
    /// Encode the state of a copy, and what some lack who know that much.
    Encode { document: Document, wanted: WantedEncoding },
}

/// What [`DocumentWork`] comes to.
#[derive(Clone, Debug)]
pub struct Worked(pub(crate) WorkOutcome);

#[derive(Clone)]
pub(crate) enum WorkOutcome {
    Read(Box<Result<ReadDocument, NotLoaded>>),
    /// The copy as it is after the trial.
    Tried(Box<(Document, Trial)>),
    /// What was applied since could not be added to the copy.
    Behind,
    Encoded(Box<EncodedState>),
}

/// What is to be encoded of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct WantedEncoding {
    /// Step 2 with the whole state.
    pub(crate) whole: bool,
    /// Step 2 for those who know this much.
    pub(crate) differences: Vec<StateVector>,
}

#[derive(Clone)]
pub(crate) struct EncodedState {
    /// The copy, compacted where that paid, with its encodings.
    pub(crate) document: Document,
    pub(crate) state: Bytes,
    pub(crate) whole: Option<Bytes>,
    /// In the order in which they were wanted.
    pub(crate) differences: Vec<Bytes>,
}

impl DocumentWork {
    /// Carries it out.
    pub fn run(self) -> Worked {
        Worked(match self.0 {
            Task::Read(opening, config) => WorkOutcome::Read(Box::new(read_stored(opening, &config))),
            Task::Try { mut document, update, terms } => {
                let trial = Trial::of(&mut document, &update, terms);
                WorkOutcome::Tried(Box::new((document, trial)))
            }
            Task::Add { mut document, update } => {
                let trial = Trial::of_logged(&mut document, update);
                WorkOutcome::Tried(Box::new((document, trial)))
            }
            Task::CatchUp { mut document, trial, since } => match catch_up(&mut document, &since) {
                Caught::Up => WorkOutcome::Tried(Box::new((document, trial))),
                Caught::Behind => WorkOutcome::Behind,
            },
            Task::Encode { mut document, wanted } => {
                let state = document.state();
                let whole = wanted.whole.then(|| ProtocolMessage::SyncStep2(&state).encode().into());
                let differences = wanted.differences.iter().map(|known| step_2(&mut document, known)).collect();
                WorkOutcome::Encoded(Box::new(EncodedState { document, state, whole, differences }))
            }
        })
    }
}

/// Step 2 for a provider that knows this much.
pub(crate) fn step_2(document: &mut Document, known: &StateVector) -> Bytes {
    ProtocolMessage::SyncStep2(&document.difference(known)).encode().into()
}

/// Whether a copy has all that was applied to the document since it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    Up,
    /// The document and the copy have each taken something that the other cannot take.
    Behind,
}

/// Adds to a copy what was applied to the document since it was taken. Updates commute, so that both end the same.
pub(crate) fn catch_up(document: &mut Document, since: &[Bytes]) -> Caught {
    let is_in = |verdict| matches!(verdict, Verdict::Applied | Verdict::NothingNew);
    if since.iter().all(|update| is_in(document.apply(update, Source::Whole))) { Caught::Up } else { Caught::Behind }
}

/// On what terms an update is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) access: Access,
    pub(crate) form: Form,
    pub(crate) resync: Resync,
    pub(crate) room: Space,
}

/// Whether documents may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Left,
    /// All documents together have reached their limit.
    Full,
}

/// What an update has come to.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) verdict: Verdict,
    /// Whether it is longer than what a member has just changed can be.
    pub(crate) is_long: bool,
    /// What was applied, for the others and the log.
    pub(crate) news: Option<Bytes>,
    /// Of an update that misses something, what waits, and for what.
    pub(crate) rest: Option<(Bytes, roomcast_yjs::Id)>,
}

impl Trial {
    /// Tries an update on a document, and applies what can be.
    pub(crate) fn of(document: &mut Document, update: &Bytes, terms: Terms) -> Self {
        match (terms.access, terms.room) {
            (Access::Read, _) | (Access::Write, Space::Full) => Self::only(document.check(update, Source::Whole)),
            (Access::Write, Space::Left) => Self::write(document, update, terms),
        }
    }

    /// Adds what another node has written to the log.
    pub(crate) fn of_logged(document: &mut Document, update: Bytes) -> Self {
        let verdict = document.apply(&update, Source::Stored);
        Self { news: (verdict == Verdict::Applied).then_some(update), ..Self::only(verdict) }
    }

    const fn only(verdict: Verdict) -> Self {
        Self { verdict, is_long: false, news: None, rest: None }
    }

    fn write(document: &mut Document, update: &Bytes, Terms { form, resync, .. }: Terms) -> Self {
        let everything = everything_from(form);
        let (known, cuts) = (known_before(document, resync, update), document.cuts());
        let mut verdict = document.apply(update, Source::Live);
        let is_long = matches!(verdict, Verdict::Bad(BadUpdate::TooLong | BadUpdate::TooManyStructs));
        if is_long && resync != Resync::No {
            verdict = document.apply(update, everything);
        } else if is_long && document.check(update, Source::Whole) == Verdict::NothingNew {
            // Browsers send back what they get, however long it is.
            verdict = Verdict::NothingNew;
        }
        let mut trial = Self { is_long, ..Self::only(verdict) };
        match verdict {
            // A difference does not cut what the whole has cut.
            Verdict::Applied if document.cuts() > cuts => trial.news = Some(update.clone()),
            Verdict::Applied => trial.news = Some(news(document, known, update.clone())),
            Verdict::Missing(_) if resync != Resync::No => trial.take_part(document, update, everything),
            Verdict::Missing(_) | Verdict::NothingNew | Verdict::Bad(_) => {}
        }
        trial
    }

    /// Takes what can be of an update that misses something: who brings its whole document brings what that holds back
    /// itself.
    fn take_part(&mut self, document: &mut Document, update: &Bytes, everything: Source) {
        let Some(split) = document.split(update, everything) else { return };
        let part = Bytes::from(split.now);
        let known = known_before(document, Resync::Asked, &part);
        self.rest = Some((split.later.into(), split.missing));
        match document.apply(&part, everything) {
            Verdict::Applied => self.news = Some(news(document, known, part)),
            Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
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
fn news(document: &mut Document, known: Option<StateVector>, whole: Bytes) -> Bytes {
    let difference = known.map(|known| document.difference(&known));
    difference.filter(|difference| difference.len() < whole.len()).unwrap_or(whole)
}

impl Debug for WorkOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "Read",
            Self::Tried(_) => "Tried",
            Self::Behind => "Behind",
            Self::Encoded(_) => "Encoded",
        })
    }
}

/// A shorter one goes to the others as it is.
const WHOLE_BYTES_MIN: usize = 1024;
