//! Rust source as tokens: as much of the language as the house rules need, which is telling code from comments and
//! literals, and reading paths.

/// A file without its comments.
pub struct Source {
    tokens: Vec<(usize, String)>,
    literals: Vec<(usize, String)>,
}

/// A path that stands somewhere in the code, `use` trees taken apart.
pub struct UsedPath {
    /// Where it begins.
    pub line: usize,
    /// How many inline modules it stands in.
    pub inline_modules: usize,
    segments: Vec<String>,
}

impl Source {
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

    /// String literals with their lines, escapes as they are written.
    pub fn literals(&self) -> &[(usize, String)] {
        &self.literals
    }

    /// Identifiers and keywords with their lines.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        let words = self.tokens.iter().filter(|(_, token)| token.starts_with(is_word));
        words.map(|(line, token)| (*line, token.as_str()))
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
            let begins_path =
                token.starts_with(is_word) && (self.token(at + 1) == "::" || at > 0 && self.token(at - 1) == "use");
            if !begins_path {
                at += 1;
                continue;
            }
            let mut found = Vec::new();
            let end = self.tree(at, &[], &mut found);
            let inline_modules = braces.iter().filter(|is_module| **is_module).count();
            let line = self.tokens[at].0;
            paths.extend(found.into_iter().map(|segments| UsedPath { line, inline_modules, segments }));
            at = end;
        }
        paths
    }

    /// Reads a path or a `use` tree that begins at a token; returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
        let mut segments = prefix.to_vec();
        loop {
            if self.token(at) == "{" {
                at += 1;
                while !matches!(self.token(at), "}" | "") {
                    let end = self.tree(at, &segments, found);
                    at = end.max(at + 1);
                }
                return at + 1;
            }
            if !self.token(at).starts_with(is_word) {
                break;
            }
            segments.push(self.token(at).to_owned());
            at += 1;
            if self.token(at) != "::" {
                break;
            }
            at += 1;
        }
        if segments.len() > prefix.len() {
            found.push(segments);
        }
        at
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

    pub fn first(&self) -> &str {
        &self.segments[0]
    }

    /// The module at the root of the crate that the path goes into, from a file `depth` modules below the root; `None`
    /// if it does not go there.
    pub fn room_below(&self, depth: usize) -> Option<&str> {
        let supers = self.segments.iter().take_while(|segment| *segment == "super").count();
        let root = match self.first() {
            "crate" => 1,
            "super" if supers >= depth + self.inline_modules => supers,
            _ => return None,
        };
        self.segments.get(root).map(String::as_str)
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
        // Not a lifetime.
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
