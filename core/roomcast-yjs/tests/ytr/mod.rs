//! The `.ytr` format of recorded Yjs updates (magic, count, then kind, sender and bytes behind their length), and folders
//! that variables name.

use std::io::Write as _;
use std::path::PathBuf;

/// The folder that a variable names. If it is unset, says past the harness that the test is not run; `./test.sh` repeats
/// such lines in its summary.
pub fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "not run: {test}: {variable} is not set");
    }
    folder
}

/// The updates of a file in their order, without its awareness updates.
pub fn updates(file: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(&file[..4], b"YTR1");
    let count = u32::from_le_bytes(file[4..8].try_into().unwrap());
    let mut at = 8;
    let mut updates = Vec::new();
    for _ in 0..count {
        let kind = file[at];
        at += 2;
        let (mut len, mut shift) = (0, 0);
        loop {
            len |= usize::from(file[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            if file[at - 1] < 0x80 {
                break;
            }
        }
        if kind == 0 {
            updates.push(file[at..at + len].to_vec());
        }
        at += len;
    }
    assert_eq!(at, file.len());
    updates
}
