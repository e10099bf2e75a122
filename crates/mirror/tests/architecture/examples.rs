//! Every public function of the pure crates and of the copier is shown in an example that runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SHOWN: [&str; 6] =
    ["mirror-oci", "mirror-failure", "mirror-tree", "mirror-plan", "mirror-render", "mirror-copy"];

/// Names of public functions in a text, and all names in its examples.
fn functions_and_examples(text: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut functions, mut shown) = (Vec::new(), BTreeSet::new());
    // Whether the code block that is open, if one is, runs.
    let mut block: Option<bool> = None;
    for line in text.lines().map(str::trim_start) {
        let doc = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).map(str::trim);
        if let Some(fence) = doc.and_then(|doc| doc.strip_prefix("```")) {
            block = if block.is_none() { Some(fence.is_empty()) } else { None };
        } else if let Some(doc) = doc.filter(|_| block == Some(true)) {
            let words = doc.split(|c: char| !c.is_alphanumeric() && c != '_');
            shown.extend(words.map(str::to_owned));
        }
        let declared = ["pub fn ", "pub async fn ", "pub const fn "];
        if let Some(rest) = declared.iter().find_map(|begin| line.strip_prefix(begin)) {
            functions.extend(rest.split(['(', '<']).next().map(str::to_owned));
        }
    }
    (functions, shown)
}

fn not_shown(source: &Path) -> Vec<String> {
    let (mut functions, mut shown) = (Vec::new(), BTreeSet::new());
    for entry in walkdir::WalkDir::new(source).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let (declared, examples) = functions_and_examples(&fs::read_to_string(&path).unwrap());
            functions.extend(declared.into_iter().map(|name| (name, path.clone())));
            shown.extend(examples);
        }
    }
    functions.retain(|(name, _)| !shown.contains(name));
    functions.iter().map(|(name, path)| format!("{name} in {}", path.display())).collect()
}

#[test]
fn public_functions_have_examples() {
    let sources = super::sources().into_iter();
    let shown = |source: &Path| SHOWN.iter().any(|name| source.parent().unwrap().ends_with(name));
    let missing: Vec<String> =
        sources.filter(|source| shown(source)).flat_map(|source| not_shown(&source)).collect();
    assert_eq!(missing, Vec::<String>::new(), "in no example that runs: show how it is called");
}

#[test]
fn an_example_that_does_not_run_shows_nothing() {
    let text =
        "/// ```ignore\n/// one();\n/// ```\n/// ```\n/// other();\n/// ```\npub fn one() {}";
    let (functions, shown) = functions_and_examples(text);
    assert_eq!(functions, ["one"]);
    assert!(shown.contains("other") && !shown.contains("one"));
}
