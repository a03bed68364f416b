//! The `.ytr` format of recorded Yjs updates: magic, count, then kind, sender and bytes behind their length.

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
