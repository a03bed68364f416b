//! Files that need each other to be understood.
//!
//! Owns: the graph of the files of a crate, and its circles. Must never know: which circles this workspace still has.
//!
//! A file uses another when a `use` or a path in its code leads to an item of that file, re-exports followed to where
//! they end. What stands under `#[cfg(test)]` does not count. A `mod` declaration and the re-export of a child
//! (`pub use child::Name`) are no use of the child, as long as the file says `Name` nowhere else: a parent may list what
//! its children offer. What the parent itself takes from a child counts, and so does what a child takes from its
//! parent.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{SourceFile, UsedPath};

/// Groups of two or more files, each of which leads to every other of its group.
pub fn circles(files: &[(String, SourceFile)]) -> Vec<Vec<String>> {
    let mut roots: BTreeMap<String, Vec<&(String, SourceFile)>> = BTreeMap::new();
    let has_library = files.iter().any(|(path, _)| path == "lib.rs");
    for file in files {
        roots.entry(root_of(&file.0, has_library)).or_default().push(file);
    }
    let mut found = Vec::new();
    for (root, files) in roots {
        let graph = Graph::new(files.into_iter().map(|(path, source)| {
            let inside = path.strip_prefix(&root).unwrap_or(path).trim_start_matches('/');
            (module_of(inside), path.clone(), source.without_tests())
        }));
        found.extend(graph.circles());
    }
    found
}

/// Every target of a package has a tree of modules of its own: `src/bin/x.rs`, `src/bin/x/main.rs`, and `src/main.rs`
/// beside `src/lib.rs`.
fn root_of(path: &str, has_library: bool) -> String {
    match path.strip_prefix("bin/").and_then(|rest| rest.split('/').next()) {
        Some(first) => format!("bin/{first}"),
        None if has_library && path == "main.rs" => "main.rs".to_owned(),
        None => String::new(),
    }
}

/// `a/b/mod.rs` and `a/b.rs` are `[a, b]`; `lib.rs` and `main.rs` are the root.
fn module_of(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| ["mod", "lib", "main", ""].contains(&last.as_str())) {
        segments.pop();
    }
    segments
}

struct SourceNode {
    path: String,
    paths: Vec<UsedPath>,
    words: BTreeSet<String>,
    definitions: BTreeSet<String>,
}

struct Graph(BTreeMap<Vec<String>, SourceNode>);

impl Graph {
    fn new(files: impl Iterator<Item = (Vec<String>, String, SourceFile)>) -> Self {
        let file = |(module, path, source): (Vec<String>, String, SourceFile)| {
            let words = source.words_outside_imports().into_iter().map(str::to_owned).collect();
            let definitions = source.definitions().into_iter().map(str::to_owned).collect();
            (module, SourceNode { path, paths: source.paths(), words, definitions })
        };
        Self(files.map(file).collect())
    }

    fn circles(&self) -> Vec<Vec<String>> {
        let modules: Vec<&Vec<String>> = self.0.keys().collect();
        let number: BTreeMap<&Vec<String>, usize> =
            modules.iter().enumerate().map(|(at, module)| (*module, at)).collect();
        let used = |module: &Vec<String>| self.uses(module).iter().map(|other| number[other]).collect();
        let edges: Vec<Vec<usize>> = modules.iter().map(|module| used(module)).collect();
        let path = |at: usize| self.0[modules[at]].path.clone();
        let groups = reach_each_other(&edges).into_iter();
        groups.map(|group| group.into_iter().map(path).collect()).collect()
    }

    /// The other files that a file uses.
    fn uses(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let file = &self.0[module];
        let counts = |path: &&UsedPath, target: &[String]| match &path.import {
            Some(import) if import.is_public && target.starts_with(module) => file.words.contains(&import.name),
            Some(_) | None => true,
        };
        let targets = file.paths.iter().filter_map(|path| {
            let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
            // `super` of an inline module stays in the file.
            let skipped = supers.min(path.inline_modules);
            let target = self.target(module, &path.segments[skipped..], 0)?;
            (target != module && counts(&path, &target)).then_some(target)
        });
        targets.collect()
    }

    /// The module whose file defines what a path leads to.
    fn target(&self, module: &[String], segments: &[String], depth: usize) -> Option<Vec<String>> {
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        let (mut at, mut rest) = match segments.first()?.as_str() {
            "crate" => (Vec::new(), &segments[1..]),
            "self" => (module.to_vec(), &segments[1..]),
            "super" => (module[..module.len().checked_sub(supers)?].to_vec(), &segments[supers..]),
            first => {
                let child = [module, &[first.to_owned()]].concat();
                self.0.contains_key(&child).then_some((child, &segments[1..]))?
            }
        };
        while let Some(first) = rest.first() {
            let child = [&at[..], std::slice::from_ref(first)].concat();
            if self.0.contains_key(&child) {
                (at, rest) = (child, &rest[1..]);
                continue;
            }
            return self.imported(&at, first, &rest[1..], segments, depth).or(Some(at));
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// Where a name leads that a module itself has imported, by name or by a glob; `None` if the module defines it.
    fn imported(
        &self,
        module: &[String],
        name: &str,
        rest: &[String],
        asked: &[String],
        depth: usize,
    ) -> Option<Vec<String>> {
        let file = self.0.get(module)?;
        // Imports that lead in a circle are left alone.
        if depth == IMPORTS_MAX {
            return None;
        }
        let named = file.paths.iter().find_map(|path| {
            let is_named = path.import.as_ref().is_some_and(|import| import.name == name && name != "*");
            let whole = [&path.segments[..], rest].concat();
            (is_named && path.segments != asked).then(|| self.target(module, &whole, depth + 1)).flatten()
        });
        if named.is_some() || file.definitions.contains(name) {
            return named;
        }
        let globs = file.paths.iter().filter(|path| path.import.as_ref().is_some_and(|import| import.name == "*"));
        globs.filter_map(|glob| self.target(module, &glob.segments[..glob.segments.len() - 1], depth + 1)).find_map(
            |at| {
                if self.0.get(&at)?.definitions.contains(name) {
                    Some(at)
                } else {
                    self.imported(&at, name, rest, asked, depth + 1)
                }
            },
        )
    }
}

/// More re-exports of one name in a row than any crate has.
const IMPORTS_MAX: usize = 16;

/// Groups of nodes that reach each other; a graph of files is small enough to walk from each of them.
fn reach_each_other(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..edges.len())
        .map(|from| {
            let (mut open, mut seen) = (vec![from], BTreeSet::new());
            while let Some(at) = open.pop() {
                open.extend(edges[at].iter().filter(|next| seen.insert(**next)));
            }
            seen
        })
        .collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for node in 0..edges.len() {
        let group: Vec<usize> =
            (0..edges.len()).filter(|at| reach[node].contains(at) && reach[*at].contains(&node)).collect();
        if group.len() > 1 && group[0] == node {
            groups.push(group);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found() {
        let none: [&[&str]; 0] = [];
        for (files, expected) in [
            (&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c;"), ("c.rs", "")][..], &none[..]),
            (&[("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")], &[&["a.rs", "b.rs"]]),
            (
                &[
                    ("a.rs", "use super::b;"),
                    ("b.rs", "use crate::c::C;"),
                    ("c.rs", "use super::a::A;"),
                    ("d.rs", "use crate::a;"),
                ],
                &[&["a.rs", "b.rs", "c.rs"]],
            ),
            // Tests may look at anything.
            (&[("a.rs", "use crate::b::B;"), ("b.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }")], &none),
            // What a parent lists is not what it uses.
            (&[("a/mod.rs", "mod b; pub use b::B; pub struct A;"), ("a/b.rs", "use super::A; pub struct B;")], &none),
            (
                &[("a/mod.rs", "mod b; pub use b::B; pub struct A(B);"), ("a/b.rs", "use super::A; pub struct B;")],
                &[&["a/b.rs", "a/mod.rs"]],
            ),
            (&[("a.rs", "mod b; fn f() { b::g() }"), ("a/b.rs", "use super::*;")], &[&["a.rs", "a/b.rs"]]),
            // Siblings through the re-exports of their parent.
            (
                &[
                    ("a/mod.rs", "mod b; mod c; pub use b::B; pub use self::c::C;"),
                    ("a/b.rs", "use super::C; pub struct B;"),
                    ("a/c.rs", "use crate::a::B; pub struct C;"),
                ],
                &[&["a/b.rs", "a/c.rs"]],
            ),
            (
                &[
                    ("lib.rs", "mod b; mod c; pub use b::B as Bee; pub use c::*;"),
                    ("b.rs", "use crate::c::C;"),
                    ("c.rs", "fn f(x: crate::Bee) {}"),
                ],
                &[&["b.rs", "c.rs"]],
            ),
            // A glob leads to the file that defines the name.
            (
                &[
                    ("a/mod.rs", "mod b; mod c; pub use self::b::*; use self::c::C; pub struct A(C);"),
                    ("a/b.rs", "pub struct B;"),
                    ("a/c.rs", "use super::B; pub struct C;"),
                ],
                &none,
            ),
            // `super` of an inline module is the file itself.
            (&[("a/mod.rs", "mod b; use b::B;"), ("a/b.rs", "mod x { use super::Y; } struct Y;")], &none),
            // Each target has a tree of its own.
            (
                &[("lib.rs", "mod a;"), ("a.rs", ""), ("main.rs", "mod a;"), ("bin/x/main.rs", "mod a; use a::f;")],
                &none,
            ),
            (
                &[("bin/x/main.rs", "mod a; use a::f; struct S;"), ("bin/x/a.rs", "use crate::S;")],
                &[&["bin/x/a.rs", "bin/x/main.rs"]],
            ),
            (&[("a.rs", "pub use crate::b::X;"), ("b.rs", "pub use crate::a::X;")], &[&["a.rs", "b.rs"]]),
        ] {
            let sources: Vec<(String, SourceFile)> =
                files.iter().map(|(path, text)| ((*path).to_owned(), SourceFile::parse(text))).collect();
            let mut found = circles(&sources);
            found.iter_mut().for_each(|circle| circle.sort());
            assert_eq!(found, expected, "{files:?}");
        }
    }
}
