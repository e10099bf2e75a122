//! Documents that are generated: `UPDATE=1 cargo test` writes them, otherwise they must be as they would be written.

use std::path::Path;

use expect_test::expect;

use crate::Project;

fn assert_current(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "crates/{file} is out of date: run `UPDATE=1 cargo test -p mirror`");
}

#[test]
fn the_command_line() {
    let project = Project::new();
    let mut text =
        "# The command line\n\nGenerated from `mirror --help`; a test keeps it current.\n"
            .to_owned();
    let help = project.mirror(&["--help"]).run().stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let named = named.filter(|word| !word.is_empty() && *word != "help");
    for command in std::iter::once("").chain(named) {
        let arguments: Vec<&str> =
            [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let help = project.mirror(&arguments).run().stdout;
        let title =
            if command.is_empty() { "mirror".to_owned() } else { format!("mirror {command}") };
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("\n## {title}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    }
    assert_current("mirror/CLI.md", &text);
}

#[test]
fn the_schemas() {
    for (file, schema) in mirror_plan::schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        assert!(!text.contains("```"), "{file} has an example in Rust");
        assert_current(&format!("mirror-plan/schemas/{file}"), &text);
    }
}

#[test]
fn the_sample_tree_is_good() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
    let ran = Project::new().mirror(&["check", "--images", images.to_str().unwrap()]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        14 images are good, 0 errors, 0 warnings
    "#]],
    );
}
