//! Names of types that stand in more than one file.
//!
//! Owns: how a declaration is found. Must never know: which names may be shared.

use std::collections::BTreeMap;

use crate::source::SourceFile;

/// Types that several of these files declare, and which of them; those whose namesakes are associated types do not
/// count.
pub fn shared_types<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Vec<&'a str>> {
    let mut all: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in files {
        for name in SourceFile::parse(text).types() {
            let paths = all.entry(name).or_default();
            if paths.last() != Some(&path) {
                paths.push(path);
            }
        }
    }
    all.retain(|_, paths| paths.len() > 1);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_files_give_to_types_is_found() {
        let files = [
            ("a.rs", "pub struct A;\npub(crate) enum B<T> { C(T) }\ntype E = u8;\nimpl X for A { type G = u8; }"),
            (
                "b.rs",
                "// struct A\nfn f() { struct B; enum B2 {} }\nconst S: &str = \"trait E {\";\nimpl X for C { type G = A; }",
            ),
            ("c.rs", "trait E {}\nmod tests { union A {} }"),
        ];
        let found = shared_types(files.into_iter());
        let found: Vec<_> = found.iter().map(|(name, paths)| (name.as_str(), paths.concat())).collect();
        assert_eq!(found, [("A", "a.rsc.rs".to_owned()), ("B", "a.rsb.rs".to_owned()), ("E", "a.rsc.rs".to_owned())]);
    }
}
