//! The length and the head of a file.
//!
//! Owns: what is counted. Must never know: the limits.

use crate::source::SourceFile;

/// Lines of a file before its module of tests.
pub fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

/// A file of `lines_max` lines or more before its tests.
pub fn long_file(path: &str, text: &str, lines_max: usize) -> Option<String> {
    let lines = lines_before_tests(text);
    (lines >= lines_max).then(|| format!("{path}: {lines} lines before its tests"))
}

/// Functions of `lines_max` lines or more outside tests.
pub fn long_functions(path: &str, text: &str, lines_max: usize) -> Vec<String> {
    let functions = SourceFile::parse(text).without_tests().functions().into_iter();
    let long = functions.filter(|function| function.lines >= lines_max);
    long.map(|function| format!("{path}: fn {} has {} lines", function.name, function.lines)).collect()
}

/// A file that does not begin with a module doc.
pub fn without_module_doc(path: &str, text: &str) -> Option<String> {
    (!text.starts_with("//!")).then(|| format!("{path}: no module doc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_up_to_the_tests() {
        assert_eq!(lines_before_tests("a\nb\n"), 2);
        assert_eq!(lines_before_tests("a\nb\n#[cfg(test)]\nmod tests {\nb\n}\n"), 2);
        assert_eq!(lines_before_tests("#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse x;\na\n"), 5);
        assert_eq!(long_file("x", "a\nb\n", 3), None);
        assert!(long_file("x", "a\nb\n", 2).is_some());
    }

    #[test]
    fn a_long_function_is_found() {
        let text = "fn a() {\n}\nfn b() {\n\n}\n#[cfg(test)]\nmod tests {\nfn c() {\n\n\n}\n}\n";
        assert_eq!(long_functions("x", text, 3), ["x: fn b has 3 lines"]);
        assert_eq!(long_functions("x", text, 4), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_a_doc_is_found() {
        assert!(without_module_doc("x", "use y;\n//! z").is_some());
        assert!(without_module_doc("x", "//! z").is_none());
    }
}
