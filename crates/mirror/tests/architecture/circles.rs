//! No file of a crate imports in a circle: what stands below never names what stands above.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of one crate, and which others each of them names.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The sources of a crate, by the path of the module: `plan::draft`, and nothing for the root.
fn modules(source: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(source) {
        let path = entry.unwrap().into_path();
        let inside = path.strip_prefix(source).unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "rs") || inside.starts_with("bin") {
            continue;
        }
        let mut parts: Vec<String> = inside
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        found.insert(parts.join("::"), path);
    }
    found
}

/// What is compiled outside of tests, without comments.
pub(super) fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path behind `crate::` or `super::`, groups taken apart.
fn paths(code: &str, module: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &code[at + root.len()..];
            let mut base: Vec<String> = Vec::new();
            if root == "super::" {
                base.extend(module.split("::").map(str::to_owned));
                base.pop();
            }
            while let Some(above) = rest.strip_prefix("super::") {
                base.pop();
                rest = above;
            }
            take_apart(rest, base, &mut found);
        }
    }
    found
}

/// Reads `a::b`, or `{a::b, c}`, from the beginning of `text`.
fn take_apart(text: &str, mut base: Vec<String>, found: &mut Vec<Vec<String>>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    take_apart(&group[start..at], base.clone(), found);
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if end > 0 {
        base.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            take_apart(rest, base, found);
        }
        _ => found.push(base),
    }
}

/// Which modules each module names; the root composes, and is left out.
fn imports(source: &Path) -> Imports {
    let modules = modules(source);
    let mut found = Imports::new();
    for (module, path) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        let named = paths(&code(&fs::read_to_string(path).unwrap()), module);
        let known = named.iter().filter_map(|path| {
            let whole = (1..=path.len()).rev().map(|length| path[..length].join("::"));
            whole.into_iter().find(|name| modules.contains_key(name) && name != module)
        });
        found.insert(module.clone(), known.collect());
    }
    found
}

/// A way from a module back to itself.
fn circle(imports: &Imports) -> Option<Vec<&str>> {
    fn walk<'a>(
        at: &'a str,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
        imports: &'a Imports,
    ) -> bool {
        if let Some(start) = way.iter().position(|seen| *seen == at) {
            way.drain(..start);
            way.push(at);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        way.push(at);
        for next in imports.get(at).into_iter().flatten() {
            if walk(next, way, done, imports) {
                return true;
            }
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| {
        let mut way = Vec::new();
        walk(module, &mut way, &mut done, imports).then_some(way)
    })
}

#[test]
fn no_file_imports_in_a_circle() {
    for source in super::sources() {
        let imports = imports(&source);
        let circle = circle(&imports).map(|way| way.join(" -> "));
        assert_eq!(
            circle,
            None,
            "{}: move what both need into a file below them",
            source.display()
        );
    }
}

#[test]
fn a_circle_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod c;");
    write("a.rs", "use crate::{b::{One, Two}, c};\n");
    write("b/mod.rs", "pub(crate) mod d;\n");
    write("b/d.rs", "// crate::a\n#[cfg(test)]\nuse crate::a::X;");
    write("c.rs", "fn f() { crate::b::d::g() }");
    let found = imports(folder.path());
    let named = |module: &str| found[module].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((named("a"), named("c")), (vec!["b", "c"], vec!["b::d"]));
    assert_eq!(named("b::d"), Vec::<&str>::new());
    assert_eq!(circle(&found), None);
    write("b/d.rs", "use super::super::c::Three;\n");
    assert_eq!(circle(&imports(folder.path())), Some(vec!["c", "b::d", "c"]));
}
