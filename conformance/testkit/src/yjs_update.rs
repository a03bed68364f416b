//! Updates of Yjs as one client that only types would send them.
//!
//! Owns: that encoding, for tests of documents. Must never know: a document, or who reads an update.

/// An update (version 1) in which `client` writes `text` into the text type `t`, behind what it wrote before. `clock` is the
/// length of that, in UTF-16 code units; the text is ASCII.
pub fn text_update(client: u8, clock: u32, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1, client];
    write_var_uint(&mut update, clock);
    if clock == 0 {
        // No origin: the parent is named instead.
        update.extend([4, 1, 1, b't']);
    } else {
        update.extend([0x84, client]);
        write_var_uint(&mut update, clock - 1);
    }
    write_var_uint(&mut update, text.len() as u32);
    update.extend_from_slice(text.as_bytes());
    // No deletions.
    update.push(0);
    update
}

/// Appends a number in lib0's variable-length form: seven bits in a byte, the lowest first.
pub fn write_var_uint(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
