//! Which names of namespaces a rule is for.
//!
//! Owns: patterns, and the parameters in a name. Must never know: what becomes of a namespace.

/// Names of namespaces. A name begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// This name alone.
    Exact(String),
    /// This, followed by one or more decimal digits and nothing else.
    Digits(String),
    /// Every name that begins with this. The application sees the name before it accepts.
    Prefix(String),
    /// Names of as many segments between `/` as this, where a segment `{key}` stands for any that is not empty:
    /// `/projects/{project}/chat`. See [`params`](Self::params).
    Segments(String),
}

impl Pattern {
    /// Whether `name` is one of them.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Digits(prefix) => name
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())),
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Segments(template) => {
                let fits = |(segment, value): (&str, &str)| match key_of(segment) {
                    Some(_) => !value.is_empty(),
                    None => segment == value,
                };
                template.split('/').count() == name.split('/').count()
                    && template.split('/').zip(name.split('/')).all(fits)
            }
        }
    }

    /// What stands in a matching name for each `{key}` of [`Segments`](Self::Segments), in order; nothing for the others.
    ///
    /// ```
    /// # use roomcast_core::server::config::Pattern;
    /// let pattern = Pattern::Segments("/projects/{project}/{room}".into());
    /// assert!(pattern.matches("/projects/7/chat") && !pattern.matches("/projects/7"));
    /// assert_eq!(pattern.params("/projects/7/chat").collect::<Vec<_>>(), [("project", "7"), ("room", "chat")]);
    /// ```
    pub fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let template = match self {
            Self::Segments(template) => template.as_str(),
            Self::Exact(_) | Self::Digits(_) | Self::Prefix(_) => "",
        };
        template.split('/').zip(name.split('/')).filter_map(|(segment, value)| Some((key_of(segment)?, value)))
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Digits(text) | Self::Prefix(text) | Self::Segments(text) => text,
        }
    }
}

fn key_of(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_match_names_of_the_same_shape_alone() {
        let pattern = Pattern::Segments("/a/{b}/c-{d}/{e}".into());
        for (name, matches) in [
            ("/a/1/c-{d}/2", true),
            ("/a/%2F/c-{d}/2", true),
            ("/a//c-{d}/2", false),
            ("/a/1/c-9/2", false),
            ("/a/1/c-{d}", false),
            ("/a/1/c-{d}/2/", false),
            ("/b/1/c-{d}/2", false),
            ("a/1/c-{d}/2", false),
        ] {
            assert_eq!(pattern.matches(name), matches, "{name}");
        }
        assert_eq!(pattern.params("/a/1/c-{d}/2").collect::<Vec<_>>(), [("b", "1"), ("e", "2")]);
        for other in [Pattern::Exact("/{a}".into()), Pattern::Prefix("/{a}".into()), Pattern::Digits("/{a}".into())] {
            assert_eq!(other.params("/{a}").count(), 0);
            assert!(!other.matches("/x"));
        }
    }
}
