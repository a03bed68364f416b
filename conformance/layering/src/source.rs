//! Rust source as tokens: as much of the language as the house rules need, which is telling code from comments and
//! literals, reading paths and imports, and finding functions.
//!
//! Owns: the tokens. Must never know: the rules.

/// A file without its comments.
#[derive(Clone, Debug)]
pub struct SourceFile {
    tokens: Vec<(usize, String)>,
    literals: Vec<(usize, String)>,
}

/// A path in the code, `use` trees taken apart.
#[derive(Clone, Debug)]
pub struct UsedPath {
    /// The line on which it begins.
    pub line: usize,
    /// The number of inline modules around it.
    pub inline_modules: usize,
    /// `["std", "fmt", "Debug"]`; a glob ends with `*`.
    pub segments: Vec<String>,
    /// What a `use` binds; `None` for a path elsewhere in the code.
    pub import: Option<Import>,
}

/// What one branch of a `use` tree binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name in this file: the last segment, or what stands after `as`. `*` for a glob.
    pub name: String,
    /// Whether it is a re-export, `pub` of any scope.
    pub is_public: bool,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The line of its `fn`.
    pub line: usize,
    /// Its name, without the type that it belongs to.
    pub name: String,
    /// From `fn` to the closing brace.
    pub lines: usize,
}

impl SourceFile {
    /// Takes a file apart.
    pub fn parse(text: &str) -> Self {
        let mut source = Self { tokens: Vec::new(), literals: Vec::new() };
        let (mut rest, mut line) = (text, 1);
        while let Some(first) = rest.chars().next() {
            let length = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                block_comment(rest)
            } else if let Some((length, content)) = literal(rest) {
                source.literals.push((line, rest[content].to_owned()));
                source.tokens.push((line, "\"".to_owned()));
                length
            } else if is_word(first) {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                // A raw identifier is the identifier.
                if !(&rest[..length] == "r" && rest[length..].starts_with('#')) {
                    source.tokens.push((line, rest[..length].to_owned()));
                }
                length
            } else {
                let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
                if !first.is_whitespace() {
                    source.tokens.push((line, rest[..length].to_owned()));
                }
                length
            };
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
        }
        source
    }

    /// String literals with their lines, escapes as they stand in the source.
    pub fn literals(&self) -> &[(usize, String)] {
        &self.literals
    }

    /// Identifiers and keywords with their lines.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        let words = self.tokens.iter().filter(|(_, token)| token.starts_with(is_word));
        words.map(|(line, token)| (*line, token.as_str()))
    }

    /// The same without everything under `#[cfg(test)]`.
    pub fn without_tests(&self) -> Self {
        let is_test = |at: usize| {
            let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
            attribute.iter().enumerate().all(|(offset, token)| self.token(at + offset) == *token)
        };
        let (mut tokens, mut skipped, mut at) = (Vec::new(), Vec::new(), 0);
        while at < self.tokens.len() {
            if is_test(at) {
                let end = self.end_of_item(at + 7);
                skipped.push(self.tokens[at].0..=self.line(end.saturating_sub(1)));
                at = end;
            } else {
                tokens.push(self.tokens[at].clone());
                at += 1;
            }
        }
        let is_kept = |line: &usize| !skipped.iter().any(|lines| lines.contains(line));
        let literals = self.literals.iter().filter(|(line, _)| is_kept(line)).cloned().collect();
        Self { tokens, literals }
    }

    /// Every path in the order of the text.
    pub fn paths(&self) -> Vec<UsedPath> {
        let mut paths = Vec::new();
        let (mut braces, mut at) = (Vec::new(), 0);
        while at < self.tokens.len() {
            let token = self.token(at);
            match token {
                "{" => braces.push(at >= 2 && self.token(at - 2) == "mod"),
                "}" => drop(braces.pop()),
                _ => {}
            }
            // `::a::b` names a crate, never a module. It begins with an empty segment here.
            let is_absolute = at > 0 && self.token(at - 1) == "::" && !(at > 1 && ends_path(self.token(at - 2)));
            let before = if is_absolute { at - 1 } else { at };
            let is_import = before > 0 && self.token(before - 1) == "use";
            if !(token.starts_with(is_word) && !KEYWORDS.contains(&token) && (self.token(at + 1) == "::" || is_import))
            {
                at += 1;
                continue;
            }
            let mut found = Vec::new();
            let root = if is_absolute { vec![String::new()] } else { Vec::new() };
            let end = self.tree(at, &root, &mut found);
            let inline_modules = braces.iter().filter(|is_module| **is_module).count();
            let is_public = is_import && self.is_public(before - 1);
            let line = self.tokens[at].0;
            paths.extend(found.into_iter().map(|(segments, name)| {
                let import = is_import.then_some(Import { name, is_public });
                UsedPath { line, inline_modules, segments, import }
            }));
            at = end;
        }
        paths
    }

    /// Identifiers outside `use` declarations.
    pub fn words_outside_imports(&self) -> Vec<&str> {
        let (mut words, mut at) = (Vec::new(), 0);
        while at < self.tokens.len() {
            if self.token(at) == "use" {
                while !matches!(self.token(at), ";" | "") {
                    at += 1;
                }
            } else if self.token(at).starts_with(is_word) {
                words.push(self.token(at));
            }
            at += 1;
        }
        words
    }

    /// Names of items that are defined anywhere in the file: types, functions, constants, traits and so on.
    pub fn definitions(&self) -> Vec<&str> {
        const KEYWORDS: [&str; 8] = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];
        let pairs = self.tokens.windows(2).filter(|pair| KEYWORDS.contains(&pair[0].1.as_str()));
        pairs.map(|pair| pair[1].1.as_str()).filter(|name| name.starts_with(is_word)).collect()
    }

    /// Names of types and traits that are declared anywhere in the file, without associated types.
    pub fn types(&self) -> Vec<String> {
        let (mut found, mut is_module) = (Vec::new(), Vec::new());
        for at in 0..self.tokens.len() {
            let is_declared = match self.token(at) {
                "{" => {
                    is_module.push(at >= 2 && self.token(at - 2) == "mod");
                    false
                }
                "}" => {
                    is_module.pop();
                    false
                }
                "enum" | "struct" | "trait" | "union" => true,
                "type" => is_module.iter().all(|is_module| *is_module),
                _ => false,
            };
            // A keyword of Rust alone is followed by a name: `union` is one by its place, and `$name` is a macro's.
            if is_declared && self.token(at + 1).starts_with(char::is_uppercase) {
                found.push(self.token(at + 1).to_owned());
            }
        }
        found
    }

    /// Every function that has a body, those inside other functions among them.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for at in 0..self.tokens.len() {
            let name = self.token(at + 1);
            if self.token(at) != "fn" || !name.starts_with(is_word) {
                continue;
            }
            let end = self.end_of_item(at);
            if self.token(end.saturating_sub(1)) == "}" {
                let lines = self.line(end - 1) + 1 - self.line(at);
                functions.push(Function { line: self.line(at), name: name.to_owned(), lines });
            }
        }
        functions
    }

    /// The token after the body of an item, or after its semicolon.
    fn end_of_item(&self, mut at: usize) -> usize {
        let (mut braces, mut others) = (0usize, 0usize);
        while at < self.tokens.len() {
            match self.token(at) {
                "{" => braces += 1,
                "}" if braces == 1 => return at + 1,
                "}" => braces = braces.saturating_sub(1),
                "(" | "[" => others += 1,
                ")" | "]" => others = others.saturating_sub(1),
                ";" if braces == 0 && others == 0 => return at + 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// Whether the `use` at this token is a re-export.
    fn is_public(&self, at: usize) -> bool {
        match at.checked_sub(1).map(|before| self.token(before)) {
            Some("pub") => true,
            Some(")") => {
                (0..at).rev().take(6).take_while(|at| self.token(*at) != ";").any(|at| self.token(at) == "pub")
            }
            Some(_) | None => false,
        }
    }

    /// Reads a path or a `use` tree that begins at a token; returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) -> usize {
        let mut segments = prefix.to_vec();
        loop {
            match self.token(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.token(at), "}" | "") {
                        let end = self.tree(at, &segments, found);
                        at = end.max(at + 1);
                    }
                    return at + 1;
                }
                "*" => {
                    segments.push("*".to_owned());
                    found.push((segments, "*".to_owned()));
                    return at + 1;
                }
                token if token.starts_with(is_word) => segments.push(token.to_owned()),
                _ => break,
            }
            at += 1;
            if self.token(at) != "::" {
                break;
            }
            at += 1;
        }
        let Some(last) = segments.last().filter(|_| segments.len() > prefix.len()).cloned() else { return at };
        let is_renamed = self.token(at) == "as";
        let name = if is_renamed { self.token(at + 1).to_owned() } else { last.clone() };
        let end = if is_renamed { at + 2 } else { at };
        // `use a::b::{self}` binds `b`.
        if last == "self" && segments.len() > 1 {
            segments.pop();
            let name = if is_renamed { name } else { segments.last().cloned().unwrap_or_default() };
            found.push((segments, name));
        } else {
            found.push((segments, name));
        }
        end
    }

    fn line(&self, at: usize) -> usize {
        self.tokens.get(at).map_or(0, |(line, _)| *line)
    }

    /// The empty word beyond both ends.
    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |(_, token)| token.as_str())
    }
}

impl UsedPath {
    /// `std::fmt::Debug`.
    pub fn text(&self) -> String {
        self.segments.join("::")
    }

    /// The module at the root of the crate that the path goes into, from a file `depth` modules below the root; `None`
    /// if it does not go there.
    pub fn room_below(&self, depth: usize) -> Option<&str> {
        let supers = self.segments.iter().take_while(|segment| *segment == "super").count();
        let root = match self.segments.first()?.as_str() {
            "crate" => 1,
            "super" if supers >= depth + self.inline_modules => supers,
            _ => return None,
        };
        self.segments.get(root).map(String::as_str).filter(|segment| *segment != "*")
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at == text.len() {
            return at;
        }
    }
}

/// The length of the literal that the text begins with, and the part between its quotes.
fn literal(text: &str) -> Option<(usize, std::ops::Range<usize>)> {
    let start = text.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let is_raw = text[..start].ends_with('r');
    let hashes = if is_raw { text[start..].find(|c| c != '#')? } else { 0 };
    let open = start + hashes;
    let quote = text[open..].chars().next()?;
    let content = open + 1;
    if start > 2 || !(quote == '"' || quote == '\'' && !is_raw) {
        return None;
    }
    if is_raw {
        let close = format!("\"{}", "#".repeat(hashes));
        let end = text[content..].find(&close).map_or(text.len(), |length| content + length);
        return Some(((end + close.len()).min(text.len()), content..end));
    }
    if quote == '\'' {
        let mut inside = text[content..].chars();
        let first = inside.next()?;
        // Without a closing quote it is a lifetime, not a character.
        if first != '\\' && inside.next() != Some('\'') {
            return None;
        }
    }
    let mut is_escaped = false;
    for (at, c) in text[content..].char_indices() {
        if c == quote && !is_escaped {
            return Some((content + at + 1, content..content + at));
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    Some((text.len(), content..text.len()))
}

/// Whether `::` behind this token goes on with its path.
fn ends_path(token: &str) -> bool {
    token == ">" || (token.starts_with(is_word) && !KEYWORDS.contains(&token))
}

/// Keywords that an absolute path may stand behind.
const KEYWORDS: &[&str] = &["as", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "use", "where"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_bound_by_name() {
        let source = SourceFile::parse("pub(crate) use a::{self, b::{self as c, D}, e::*}; use f; fn g() { h::i() }");
        let found: Vec<(String, Option<(String, bool)>)> = source
            .paths()
            .into_iter()
            .map(|path| (path.text(), path.import.map(|import| (import.name, import.is_public))))
            .collect();
        let bound = |name: &str, is_public| Some((name.to_owned(), is_public));
        assert_eq!(
            found,
            [
                ("a".to_owned(), bound("a", true)),
                ("a::b".to_owned(), bound("c", true)),
                ("a::b::D".to_owned(), bound("D", true)),
                ("a::e::*".to_owned(), bound("*", true)),
                ("f".to_owned(), bound("f", false)),
                ("h::i".to_owned(), None),
            ]
        );
        assert_eq!(source.words_outside_imports(), ["pub", "crate", "fn", "g", "h", "i"]);
    }

    #[test]
    fn an_absolute_path_is_of_another_crate() {
        let texts = |text: &str| SourceFile::parse(text).paths().iter().map(UsedPath::text).collect::<Vec<_>>();
        assert_eq!(texts("f(Box<::a::B>, ::c::D) -> x::Y"), ["::a::B", "::c::D", "x::Y"]);
        assert_eq!(texts("use ::a::B; Vec::<u8>::c::d"), ["::a::B", "Vec", "c::d"]);
    }

    #[test]
    fn tests_are_cut_out() {
        let source = SourceFile::parse(
            "use a;\n#[cfg(test)]\nuse b;\n#[cfg(test)]\nmod tests {\n fn f() { \"x\" }\n}\nconst C: &str = \"y\";",
        )
        .without_tests();
        assert_eq!(source.paths().iter().map(UsedPath::text).collect::<Vec<_>>(), ["a"]);
        assert_eq!(source.literals(), [(8, "y".to_owned())]);
    }

    #[test]
    fn functions_end_at_their_brace() {
        let text = "trait A {\n fn a(&self) -> [u8; 2];\n fn b(f: fn(u8)) {\n  {}\n }\n}\nconst fn c() { if x { y } }";
        let found: Vec<(String, usize, usize)> =
            SourceFile::parse(text).functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("b".to_owned(), 3, 3), ("c".to_owned(), 7, 1)]);
    }
}
