//! Updates made of other updates: several as one, or one in two.
//!
//! Owns: the builder of an update that need not begin at the beginning. Must never know: any document.

use std::collections::BTreeMap;

use super::client_structs::ClientStructs;
use super::structs::Piece;
use super::update::{self, Deletion, Section, Update};
use super::wire::{self, ClientId, Malformed};

/// Puts several updates together to one that says the same. Where clocks of a client are missing between them, a gap is
/// written, as `Y.mergeUpdates` does.
pub fn merge_updates<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Malformed> {
    let mut decoded = Vec::new();
    for bytes in updates {
        // Without a limit, none is exceeded.
        decoded.extend(Update::decode(bytes, usize::MAX)?);
    }
    let structs = decoded.iter().flat_map(|update| &update.sections).map(Section::len).sum();
    let mut places: Vec<(ClientId, u32, usize, u32)> = Vec::with_capacity(structs);
    for (of, update) in decoded.iter().enumerate() {
        for section in &update.sections {
            let records = update.records(section).iter().zip(0..);
            places.extend(records.map(|(record, index)| (section.client, record.clock, of, index)));
        }
    }
    places.sort_unstable();
    let mut builder = Builder::default();
    for (client, clock, of, index) in places {
        let Some(update) = decoded.get(of) else { continue };
        let records = update.section(client).map_or(&[][..], |section| update.records(section));
        if let Some(record) = records.get(index as usize) {
            builder.append(client, clock, &update.piece(record));
        }
    }
    for update in &decoded {
        builder.deletes.extend_from_slice(&update.deletes);
    }
    Ok(builder.finish())
}

/// An update under construction.
#[derive(Default)]
pub(crate) struct Builder {
    /// Of each client, stretches without a gap.
    clients: BTreeMap<ClientId, Vec<ClientStructs>>,
    pub(crate) deletes: Vec<Deletion>,
}

impl Builder {
    /// Adds a struct, which does not begin before those of its client that are in.
    pub(crate) fn append(&mut self, client: ClientId, clock: u32, piece: &Piece<'_>) {
        let stretches = self.clients.entry(client).or_default();
        match stretches.last_mut().filter(|last| clock <= last.end()) {
            Some(last) => last.append(clock, piece),
            None => {
                let mut stretch = ClientStructs::new(client, clock);
                stretch.append(clock, piece);
                stretches.push(stretch);
            }
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::write_count(&mut out, self.clients.len());
        for (client, stretches) in self.clients.iter().rev() {
            let structs: usize = stretches.iter().map(|stretch| stretch.count_from(stretch.start())).sum();
            wire::write_count(&mut out, structs + stretches.len() - 1);
            wire::write_integer(&mut out, client.as_u64());
            let mut clock = stretches.first().map_or(0, ClientStructs::start);
            wire::write_integer(&mut out, u64::from(clock));
            for stretch in stretches {
                if stretch.start() > clock {
                    out.push(SKIP_INFO);
                    wire::write_integer(&mut out, u64::from(stretch.start() - clock));
                }
                stretch.write_from(stretch.start(), &mut out);
                clock = stretch.end();
            }
        }
        update::merge_deletions(&mut self.deletes);
        update::write_deletions(&mut out, &self.deletes);
        out
    }
}

const SKIP_INFO: u8 = 10;
