//! Nights that follow each other, by the scripts of apply.yml.

use mirror_testkit::{Fault, ImageBuilder, Registry};

use crate::Project;
use crate::rehearsal::Runner;

/// One night of apply.yml: whose signatures are to be looked for after it, how many parts there were, and whether that is
/// kept for the next one.
fn night(runner: &Runner) -> (Vec<String>, usize, bool) {
    let _ = std::fs::remove_file(runner.file("GITHUB_OUTPUT"));
    let reports = runner.project.path().join("reports");
    let _ = std::fs::remove_dir_all(&reports);
    std::fs::create_dir(&reports).unwrap();
    let _ = std::fs::remove_file(runner.project.path().join("remembered.json"));
    runner.works("apply.yml", "plan", "plan", &[("SHARDS", "3")]);
    runner.works("apply.yml", "plan", "what was known before", &[]);
    let output = runner.written("GITHUB_OUTPUT");
    let matrix: serde_json::Value =
        serde_json::from_str(output.trim().strip_prefix("matrix=").unwrap()).unwrap();
    let shards = matrix.get("shard").unwrap().as_array().unwrap().clone();
    for shard in shards.iter().map(|shard| shard.as_str().unwrap()) {
        for step in ["what is known", "apply", "what was learned"] {
            runner.works("apply.yml", "apply", step, &[("SHARD", shard)]);
        }
        let name = format!("learned-{}.json", shard.split('/').next().unwrap());
        std::fs::rename(runner.project.path().join(&name), reports.join(&name)).unwrap();
        // Each part has a machine of its own.
        let _ = std::fs::remove_dir_all(runner.project.path().join(".spool"));
    }
    runner.works("apply.yml", "report", "what the next run should know", &[]);
    let known = runner.file(".cache/mirror-spool/remembered/images.json");
    let known: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(known).unwrap()).unwrap();
    let images = known.get("signatures").unwrap().as_array().unwrap().iter();
    let name =
        |image: &serde_json::Value| image.get("repository").unwrap().as_str().unwrap().to_owned();
    let mut names: Vec<String> = images.map(name).collect();
    names.sort();
    (names, shards.len(), runner.written("GITHUB_OUTPUT").contains("keep=true"))
}

#[test]
fn what_one_night_could_not_ask_the_next_one_does() {
    let (source, destination, project) = (Registry::start(), Registry::start(), Project::new());
    project.config(&source.host(), &destination.host());
    let names = ["app0", "app1", "app2", "app3"];
    for name in names {
        source.add(&format!("library/{name}"), "1", &ImageBuilder::new(name).build());
        project.entry(&format!("{name}:1"));
    }
    let runner = Runner::new(project);
    let refused = |names: &'static [&'static str]| {
        source.set_faults(move |exchange| {
            let looks = exchange.path.contains("/referrers/") || exchange.path.contains("sha256-");
            let hit = looks && names.iter().any(|name| exchange.path.contains(name));
            hit.then(|| Fault::refuse(403, "DENIED", "not now"))
        });
    };
    let all: Vec<String> = names.iter().map(|name| format!("docker.io/library/{name}")).collect();
    refused(&["app0", "app1", "app2", "app3"]);
    let (owed, shards, keeps) = night(&runner);
    assert_eq!((owed, keeps), (all.clone(), true));
    assert!(shards > 1, "{shards} parts");
    refused(&["app2"]);
    let (owed, _, keeps) = night(&runner);
    assert_eq!((owed, keeps), (vec![all[2].clone()], true));
    let (owed, shards, keeps) = night(&runner);
    assert_eq!((owed, shards, keeps), (vec![all[2].clone()], 1, false));
    source.clear_faults();
    assert_eq!(night(&runner), (vec![], 1, true));
    assert_eq!(night(&runner), (vec![], 0, false));
}
