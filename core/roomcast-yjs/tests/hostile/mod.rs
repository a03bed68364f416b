//! Random updates that are well-formed and mean harm: structs that name each other in every way the format allows.

use roomcast_core::rng::Rng;

/// Makes updates of some clients. What a store accepts of them is told with [`Self::accepted`].
pub struct Hostile {
    rng: Rng,
    /// The next clock of each client.
    clocks: [u32; CLIENTS.len()],
    /// Every struct that was accepted: client, first clock, length, bytes.
    known: Vec<Struct>,
    offered: Vec<Struct>,
}

#[derive(Clone)]
struct Struct {
    client: usize,
    clock: u32,
    len: u32,
    bytes: Vec<u8>,
    is_type: bool,
}

impl Hostile {
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { rng: Rng::from_seed(key), clocks: [0; CLIENTS.len()], known: Vec::new(), offered: Vec::new() }
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.rng.below(u64::from(bound.max(1)))).unwrap()
    }

    /// The next update.
    pub fn update(&mut self) -> Vec<u8> {
        self.offered.clear();
        let mut authors: Vec<usize> = (0..CLIENTS.len()).collect();
        for place in (1..authors.len()).rev() {
            let other = self.below(place as u32 + 1) as usize;
            authors.swap(place, other);
        }
        authors.truncate([1, 1, 1, 1, 2, 2, 3][self.below(7) as usize]);
        let mut out = vec![u8::try_from(authors.len()).unwrap()];
        for author in authors {
            self.section(&mut out, author);
        }
        self.deletions(&mut out);
        out
    }

    /// The last update was applied.
    pub fn accepted(&mut self) {
        for one in std::mem::take(&mut self.offered) {
            let end = one.clock + one.len;
            if end > self.clocks[one.client] {
                self.clocks[one.client] = end;
                self.known.push(one);
            }
        }
    }

    fn section(&mut self, out: &mut Vec<u8>, author: usize) {
        let mut structs = Vec::new();
        let mut clock = self.clocks[author];
        // What is known comes again, as it was or as something else, and may reach beyond.
        if self.below(5) == 0 {
            let own: Vec<&Struct> = self.known.iter().filter(|known| known.client == author).collect();
            if let Some(again) = own.get(own.len().saturating_sub(1 + self.rng.below(3) as usize)) {
                clock = again.clock;
                if self.rng.below(2) == 0 {
                    structs = own.iter().filter(|known| known.clock >= clock).map(|&known| known.clone()).collect();
                }
            }
        }
        let first = clock;
        clock = structs.last().map_or(clock, |last| last.clock + last.len);
        for _ in 0..=self.below(3) {
            let one = self.one(author, clock);
            clock += one.len;
            self.offered.push(one.clone());
            structs.push(one);
        }
        integer(out, structs.len() as u64);
        integer(out, CLIENTS[author]);
        integer(out, u64::from(first));
        for one in structs {
            out.extend(one.bytes);
        }
    }

    fn one(&mut self, author: usize, clock: u32) -> Struct {
        let kind = [4, 4, 4, 4, 4, 8, 8, 2, 3, 5, 6, 7, 7, 7, 9, 1, 0][self.below(17) as usize];
        let mut bytes = Vec::new();
        if kind == 0 {
            let len = 1 + self.below(4);
            return Struct { client: author, clock, len, bytes: vec![0, u8::try_from(len).unwrap()], is_type: false };
        }
        let before = clock.checked_sub(1).map(|clock| (author, clock));
        let origin = match self.below(6) {
            0 | 1 => None,
            2 => self.some_id(author, clock),
            _ => before,
        };
        let right_origin = match (self.below(5), origin) {
            (0, _) => self.some_id(author, clock),
            // As an editor has it: the element that followed once.
            (1 | 2, Some((client, clock))) if clock + 1 < self.clocks[client] => Some((client, clock + 1)),
            _ => None,
        };
        let keyed = self.below(4) == 0;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let says_key = keyed && (origin.is_none() && right_origin.is_none() || self.below(2) == 0);
        bytes.push(kind | bit(origin.is_some(), 0x80) | bit(right_origin.is_some(), 0x40) | bit(says_key, 0x20));
        for (client, clock) in [origin, right_origin].into_iter().flatten() {
            integer(&mut bytes, CLIENTS[client]);
            integer(&mut bytes, u64::from(clock));
        }
        if origin.is_none() && right_origin.is_none() {
            match self.some_parent(author, clock) {
                Some((client, clock)) => {
                    bytes.push(0);
                    integer(&mut bytes, CLIENTS[client]);
                    integer(&mut bytes, u64::from(clock));
                }
                None => bytes.extend([1, 1, [b't', b'm'][self.below(2) as usize]]),
            }
            if keyed {
                bytes.extend([1, [b'k', b'l'][self.below(2) as usize]]);
            }
        }
        let (len, content): (u32, &[u8]) = match kind {
            1 => [(1, &[1][..]), (2, &[2])][self.below(2) as usize],
            2 => (2, b"\x02\x09undefined\x04[{}]"),
            3 => (1, b"\x02\0\xff"),
            4 => [
                (1, &b"\x01a"[..]),
                (3, b"\x03bcd"),
                (2, b"\x04\xf0\x9f\x98\x80"),
                (6, b"\x0ax\xf0\x90\x80\x80\xf4\x8f\xbf\xbfy"),
            ][self.below(4) as usize],
            5 => (1, b"\x02{}"),
            6 => [(1, &b"\x01b\x04true"[..]), (1, b"\x01b\x04null")][self.below(2) as usize],
            7 => (1, [&[0][..], &[1], &[2], &[3, 1, b'p'], &[4], &[5, 1, b'h'], &[6]][self.below(7) as usize]),
            8 => [(1, &[1, 126][..]), (3, &[3, 126, 125, 5, 117, 1, 119, 1, b'q'])][self.below(2) as usize],
            _ => (1, &[1, b'g', 118, 0]),
        };
        bytes.extend_from_slice(content);
        Struct { client: author, clock, len, bytes, is_type: kind == 7 }
    }

    /// An element that comes before `clock` of `author`, mostly one that exists.
    fn some_id(&mut self, author: usize, clock: u32) -> Option<(usize, u32)> {
        let client = self.below(CLIENTS.len() as u32) as usize;
        let end = if client == author { clock } else { self.clocks[client] };
        // Recent elements are met more often.
        let most = if self.below(2) == 0 { 6 } else { u32::MAX };
        let back = self.below(end.min(most));
        (end > 0).then(|| (client, end - 1 - back))
    }

    fn some_parent(&mut self, author: usize, clock: u32) -> Option<(usize, u32)> {
        match self.below(8) {
            0..4 => None,
            4 => self.some_id(author, clock),
            _ => {
                let types: Vec<(usize, u32)> = self
                    .known
                    .iter()
                    .chain(&self.offered)
                    .filter(|one| one.is_type)
                    .map(|one| (one.client, one.clock))
                    .collect();
                let at = self.below(types.len() as u32) as usize;
                types.get(at).copied().filter(|&(client, at)| client != author || at < clock)
            }
        }
    }

    fn deletions(&mut self, out: &mut Vec<u8>) {
        let mut ranges = Vec::new();
        for client in 0..CLIENTS.len() {
            let end = self.offered.iter().filter(|one| one.client == client).map(|one| one.clock + one.len).max();
            let end = end.unwrap_or(0).max(self.clocks[client]);
            if end > 0 && self.below(4) == 0 {
                let from = self.below(end);
                ranges.push((client, from, 1 + self.below((end - from).min(4))));
            }
        }
        out.push(u8::try_from(ranges.len()).unwrap());
        for (client, from, len) in ranges {
            integer(out, CLIENTS[client]);
            out.push(1);
            integer(out, u64::from(from));
            integer(out, u64::from(len));
        }
    }
}

fn integer(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

const CLIENTS: [u64; 4] = [1, 7, (1 << 32) + 5, (1 << 53) - 1];
