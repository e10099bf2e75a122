//! FROM lines of public repositories, each with the outcome it must have: the reference, fully spelled, and the
//! codes that the file earns where it was found.

use mirror_tree::{Rules, parse, read};

#[test]
fn every_line_has_its_outcome() {
    let table = include_str!("from-lines.csv");
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let [path, content, reference, codes] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {row}");
        };
        let content = content.replace("\\r", "\r").replace("\\n", "\n");
        let parsed = parse(path, content.as_bytes(), &Rules::default());
        let from = parsed.from.unwrap_or_else(|| panic!("{path}: {:?}", parsed.diagnostics));
        assert_eq!(format!("{}{}", from.name, from.version), reference, "{path}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &content).unwrap();
        let tree = read(folder.path(), &Rules::default());
        let mut found: Vec<_> = tree.diagnostics.iter().map(|d| d.code.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), codes, "{path}");
        rows += 1;
    }
    assert_eq!(rows, 199);
}
