//! No file of a crate imports in a circle: what stands below never names what stands above.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of one crate, and which others each of them names, with the path it names them by.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

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

/// Every path that `use` names in a file, groups taken apart.
pub(super) fn used(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in code.match_indices("use ").map(|(at, _)| at) {
        let begins = code[..line].chars().next_back().is_none_or(char::is_whitespace);
        if begins {
            take_apart(&code[line + 4..], Vec::new(), &mut found);
        }
    }
    found
}

/// What each module takes from the modules below it and names as its own: `Plan` of `plan` is that of `plan::model`.
fn passed_on(modules: &BTreeMap<String, String>) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for (module, text) in modules {
        for path in used(text) {
            let Some((name, below)) = path.split_last() else { continue };
            let below = if module.is_empty() {
                below.join("::")
            } else {
                format!("{module}::{}", below.join("::"))
            };
            if modules.contains_key(&below) {
                found.insert((module.clone(), name.clone()), below);
            }
        }
    }
    found
}

/// Which modules each module names; the root composes, and is left out.
fn imports(source: &Path) -> Imports {
    let modules = modules(source).into_iter();
    let modules: BTreeMap<String, String> =
        modules.map(|(module, path)| (module, code(&fs::read_to_string(path).unwrap()))).collect();
    let passed_on = passed_on(&modules);
    let mut found = Imports::new();
    for (module, text) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        let named = paths(text, module).into_iter().filter_map(|path| {
            let mut whole =
                (0..=path.len()).rev().map(|length| (path[..length].join("::"), length));
            let (mut at, length) = whole.find(|(name, _)| modules.contains_key(name))?;
            let name = path.get(length);
            while let Some(below) = name.and_then(|name| passed_on.get(&(at.clone(), name.clone())))
            {
                at.clone_from(below);
            }
            (at != *module && !at.is_empty()).then(|| (at, path.join("::")))
        });
        found.insert(module.clone(), named.collect());
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
        for next in imports.get(at).into_iter().flat_map(BTreeMap::keys) {
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
        if let Some(way) = circle(&imports) {
            panic!("{}: {}", source.display(), advice(&way, &imports));
        }
    }
}

/// What to do about a circle: each step of it by the path that makes it.
fn advice(way: &[&str], imports: &Imports) -> String {
    let steps = way
        .windows(2)
        .map(|step| format!("{} names crate::{}", step[0], imports[step[0]][step[1]]));
    let steps: Vec<String> = steps.collect();
    format!(
        "imports go in a circle: {}. Move what one of these paths names into a file below both, or hand it in as an argument",
        steps.join(", ")
    )
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
    let named = |module: &str| found[module].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((named("a"), named("c")), (vec!["b", "c"], vec!["b::d"]));
    assert_eq!(named("b::d"), Vec::<&str>::new());
    assert_eq!(circle(&found), None);
    write("b/d.rs", "use super::super::c::Three;\n");
    assert_eq!(circle(&imports(folder.path())), Some(vec!["c", "b::d", "c"]));
    // Through what a module passes on.
    write("b/mod.rs", "pub(crate) mod d;\npub use d::{Four, Five as Six};\n");
    write("b/d.rs", "use crate::c::Three;\n");
    write("c.rs", "use crate::b::{Four, e::Seven};\n");
    let found = imports(folder.path());
    let way = circle(&found).unwrap();
    assert_eq!(
        advice(&way, &found),
        "imports go in a circle: c names crate::b::Four, b::d names crate::c::Three. Move what one of these paths names into \
         a file below both, or hand it in as an argument"
    );
}
